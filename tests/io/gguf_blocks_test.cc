// Every type against the gguf package's values, bit for bit. scripts/make_gguf_fixtures made them.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "tests/testing/test_data.h"
#include "unswift/io/gguf_types.h"
#include "unswift/io/json.h"

namespace unswift {
namespace {

std::vector<std::byte> FromHex(const std::string& hex) {
  std::vector<std::byte> bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

TEST(GgufBlocks, EqualTheGgufPackage) {
  const nlohmann::json golden = ReadJsonFile("tests/golden/gguf/blocks.json");
  ASSERT_EQ(golden.size(), 14u);
  for (const auto& [name, row] : golden.items()) {
    SCOPED_TRACE(name);
    const GgufTensorType* type = FindGgufTensorType(row.at("id").get<uint32_t>());
    ASSERT_NE(type, nullptr);
    EXPECT_EQ(type->name, name);
    ASSERT_NE(type->dequantize, nullptr);
    const std::vector<std::byte> blocks = FromHex(row.at("blocks")),
                                 bytes = FromHex(row.at("values"));
    std::vector<float> expected(bytes.size() / sizeof(float)), values(expected.size());
    std::memcpy(expected.data(), bytes.data(), bytes.size());
    ASSERT_EQ(blocks.size() / type->block_bytes * type->block_elements, values.size());
    type->dequantize(blocks.data(), values);
    int64_t finite = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      if (std::isnan(expected[i])) {
        ASSERT_TRUE(std::isnan(values[i])) << i;
        continue;
      }
      ASSERT_EQ(std::bit_cast<uint32_t>(values[i]), std::bit_cast<uint32_t>(expected[i]))
          << i << ": " << values[i] << " for " << expected[i];
      finite += std::isfinite(expected[i]);
    }
    EXPECT_GT(finite * 2, static_cast<int64_t>(values.size()));
  }
}

TEST(GgufBlocks, TheReadableTypesAreNamed) {
  EXPECT_EQ(DequantizableGgufTypes(),
            "F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, BF16");
}

}  // namespace
}  // namespace unswift
