// Element types against formulas written from the format, one value at a time.
#include <bit>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "unswift/base/random.h"
#include "unswift/io/gguf_types.h"

namespace unswift {
namespace {

using Bytes = std::vector<uint8_t>;

float HalfAt(const Bytes& bytes, size_t at) {
  const int bits = bytes[at] | bytes[at + 1] << 8;
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  const float sign = bits >> 15 ? -1.0f : 1.0f;
  if (exponent == 31) return mantissa != 0 ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(mantissa), -24);
  return sign * std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
}

float SingleAt(const Bytes& bytes, size_t at, int low_bytes_missing) {
  uint32_t bits = 0;
  for (int i = low_bytes_missing; i < 4; ++i) {
    bits |= static_cast<uint32_t>(bytes[at + i - low_bytes_missing]) << 8 * i;
  }
  return std::bit_cast<float>(bits);
}

int NibbleOf(const Bytes& bytes, size_t nibbles, int index) {
  const uint8_t byte = bytes[nibbles + index % 16];
  return index < 16 ? byte % 16 : byte / 16;
}

/// Value `index` of the block that starts at `at`.
using Formula = float (*)(const Bytes& bytes, size_t at, int index);

struct TypeCase {
  const char* name;
  uint32_t id;
  int elements, bytes;
  Formula formula;
};

const TypeCase kCases[] = {
    {"F32", 0, 1, 4, [](const Bytes& b, size_t at, int) { return SingleAt(b, at, 0); }},
    {"F16", 1, 1, 2, [](const Bytes& b, size_t at, int) { return HalfAt(b, at); }},
    {"BF16", 30, 1, 2, [](const Bytes& b, size_t at, int) { return SingleAt(b, at, 2); }},
    {"Q8_0", 8, 32, 34,
     [](const Bytes& b, size_t at, int i) {
       const int q = b[at + 2 + i] < 128 ? b[at + 2 + i] : b[at + 2 + i] - 256;
       return static_cast<float>(q) * HalfAt(b, at);
     }},
    {"Q4_0", 2, 32, 18,
     [](const Bytes& b, size_t at, int i) {
       return static_cast<float>(NibbleOf(b, at + 2, i) - 8) * HalfAt(b, at);
     }},
    {"Q4_1", 3, 32, 20,
     [](const Bytes& b, size_t at, int i) {
       const volatile float product = static_cast<float>(NibbleOf(b, at + 4, i)) * HalfAt(b, at);
       return product + HalfAt(b, at + 2);  // two roundings, as the Python package has
     }},
};

/// Random bytes; every fourth block starts with hard f16 values (zero, subnormal, largest,
/// infinite, NaN, of both signs).
Bytes HardBlocks(const TypeCase& type, int count) {
  constexpr uint16_t kHard[] = {0x0000, 0x8000, 0x0001, 0x83ff, 0x0400, 0x7bff,
                                0xfbff, 0x7c00, 0xfc00, 0x7e00, 0x3c00, 0x7c01};
  Random random(type.id + 1);
  Bytes bytes(static_cast<size_t>(count) * type.bytes);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.NextU64());
  for (int block = 0; block < count; block += 4) {
    for (int at = 0; at + 1 < std::min(type.bytes, 4); at += 2) {
      std::memcpy(&bytes[block * type.bytes + at], &kHard[random.NextBelow(std::size(kHard))], 2);
    }
  }
  return bytes;
}

TEST(GgufTensorType, ValuesFollowTheFormat) {
  for (const TypeCase& c : kCases) {
    const GgufTensorType* type = FindGgufTensorType(c.id);
    ASSERT_NE(type, nullptr) << c.name;
    EXPECT_EQ(type->name, c.name);
    ASSERT_EQ(type->block_elements, c.elements);
    ASSERT_EQ(type->block_bytes, c.bytes);
    constexpr int kBlocks = 4096;
    const Bytes bytes = HardBlocks(c, kBlocks);
    std::vector<float> values(static_cast<size_t>(kBlocks) * c.elements);
    type->dequantize(reinterpret_cast<const std::byte*>(bytes.data()), values);
    for (size_t i = 0; i < values.size(); ++i) {
      const float expected = c.formula(bytes, i / c.elements * c.bytes, i % c.elements);
      if (std::isnan(expected)) {
        ASSERT_TRUE(std::isnan(values[i])) << c.name << " " << i;
      } else {
        ASSERT_EQ(std::bit_cast<uint32_t>(values[i]), std::bit_cast<uint32_t>(expected))
            << c.name << " " << i;
      }
    }
  }
}

TEST(GgufTensorType, UnknownIds) {
  for (uint32_t id : {4u, 5u, 31u, 36u, 1000u, ~0u}) EXPECT_EQ(FindGgufTensorType(id), nullptr);
}

// Block sizes as in ggml-common.h: what a block stores, in bytes.
TEST(GgufTensorType, BlockSizesOfOtherTypes) {
  struct Row {
    uint32_t id;
    const char* name;
    int64_t elements, bytes;
  };
  const Row rows[] = {
      {6, "Q5_0", 32, 2 + 4 + 16},          {7, "Q5_1", 32, 2 + 2 + 4 + 16},
      {10, "Q2_K", 256, 16 + 64 + 4},       {11, "Q3_K", 256, 32 + 64 + 12 + 2},
      {12, "Q4_K", 256, 4 + 12 + 128},      {13, "Q5_K", 256, 4 + 12 + 32 + 128},
      {14, "Q6_K", 256, 128 + 64 + 16 + 2}, {28, "F64", 1, 8},
  };
  for (const Row& row : rows) {
    const GgufTensorType* type = FindGgufTensorType(row.id);
    ASSERT_NE(type, nullptr) << row.name;
    EXPECT_EQ(type->name, row.name);
    EXPECT_EQ(type->block_elements, row.elements) << row.name;
    EXPECT_EQ(type->block_bytes, row.bytes) << row.name;
  }
}

}  // namespace
}  // namespace unswift
