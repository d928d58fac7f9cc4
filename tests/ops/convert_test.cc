#include "unswift/ops/convert.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "tests/ops/kernel_test.h"

namespace unswift {
namespace {

class ConvertTest : public EveryTarget {};
UNSWIFT_INSTANTIATE_FOR_EVERY_TARGET(ConvertTest);

bool SameBits(float a, float b) {
  return (std::isnan(a) && std::isnan(b)) ||
         std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}

TEST_P(ConvertTest, WidensEveryValueAsTheDefinition) {
  std::vector<uint16_t> bits(65536);
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint16_t>(i);
  const auto* row = reinterpret_cast<const std::byte*>(bits.data());
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    std::vector<float> expected(bits.size()), got(bits.size());
    RowToF32(dtype, row, expected);
    FastRowToF32(dtype, row, got);
    for (size_t i = 0; i < bits.size(); ++i) {
      ASSERT_TRUE(SameBits(expected[i], got[i])) << DTypeName(dtype) << " " << i;
    }
  }
}

/// Values around every rounding boundary of the 16-bit types, specials, and random bits.
std::vector<float> HardFloats() {
  std::vector<float> values;
  for (uint32_t upper = 0; upper < 65536; ++upper) {
    for (const uint32_t lower : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      values.push_back(std::bit_cast<float>(upper << 16 | lower));
    }
  }
  for (uint32_t half = 0; half < 0x7c00; ++half) {  // midpoints between neighbouring f16
    const float a = F16ToF32(static_cast<uint16_t>(half));
    const float middle = 0.5f * (a + F16ToF32(static_cast<uint16_t>(half + 1)));
    for (const float v : {middle, std::nextafter(middle, 0.0f), std::nextafter(middle, 1e9f)}) {
      values.push_back(v);
      values.push_back(-v);
    }
  }
  Random random(1);
  for (int i = 0; i < 100000; ++i) {
    values.push_back(std::bit_cast<float>(static_cast<uint32_t>(random.NextU64())));
  }
  return values;
}

TEST_P(ConvertTest, NarrowsAsTheDefinition) {
  const std::vector<float> values = HardFloats();
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    std::vector<uint16_t> expected(values.size()), got(values.size());
    RowFromF32(dtype, values, reinterpret_cast<std::byte*>(expected.data()));
    FastRowFromF32(dtype, values, reinterpret_cast<std::byte*>(got.data()));
    for (size_t i = 0; i < values.size(); ++i) {
      if (std::isnan(values[i])) {
        const float back = dtype == DType::kF16 ? F16ToF32(got[i]) : Bf16ToF32(got[i]);
        ASSERT_TRUE(std::isnan(back)) << i;
      } else {
        ASSERT_EQ(expected[i], got[i]) << DTypeName(dtype) << " " << values[i];
      }
    }
  }
}

TEST_P(ConvertTest, AnyLengthAndAlignment) {
  for (const DType dtype : kFloatTypes) {
    const int64_t size = BlockBytes(dtype);
    for (int64_t count = 0; count <= 70; ++count) {
      const TestWeight weight(dtype, 1, count, 7, /*misalign=*/1);
      std::vector<float> expected(count), got(count);
      if (count > 0) RowToF32(dtype, weight.view().data, expected);
      FastRowToF32(dtype, weight.view().data, got);
      EXPECT_EQ(expected, got);
      std::vector<std::byte> back(1 + count * size);
      FastRowFromF32(dtype, got, back.data() + 1);
      EXPECT_TRUE(std::equal(back.begin() + 1, back.end(), weight.view().data));
    }
  }
}

TEST_P(ConvertTest, QuantisedRowsTakeTheDefinition) {
  const TestWeight source(DType::kF32, 1, 64, 7);
  std::vector<float> values(64), expected(64), got(64);
  RowToF32(DType::kF32, source.view().data, values);
  std::vector<std::byte> blocks(2 * 34);
  RowFromF32(DType::kQ8_0, values, blocks.data());
  RowToF32(DType::kQ8_0, blocks.data(), expected);
  FastRowToF32(DType::kQ8_0, blocks.data(), got);
  EXPECT_EQ(expected, got);
}

TEST_P(ConvertTest, FindsAnyValueThatIsNotFinite) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const DType dtype : kFloatTypes) {
    for (const int64_t count : {1, 15, 64, 131}) {
      // The largest finite value everywhere: one bit pattern below infinity.
      std::vector<float> values(count, dtype == DType::kF16 ? 65504.0f : -0x1.fep127f);
      std::vector<std::byte> bytes(1 + count * BlockBytes(dtype));
      RowFromF32(dtype, values, bytes.data() + 1);
      EXPECT_TRUE(AllFinite(dtype, bytes.data() + 1, count));
      for (const float bad : {infinity, -infinity, std::nanf("")}) {
        for (int64_t i = 0; i < count; ++i) {
          std::vector<float> broken = values;
          broken[i] = bad;
          RowFromF32(dtype, broken, bytes.data() + 1);
          EXPECT_FALSE(AllFinite(dtype, bytes.data() + 1, count)) << DTypeName(dtype) << " " << i;
        }
      }
    }
  }
  EXPECT_TRUE(AllFinite(DType::kBF16, nullptr, 0));
}

}  // namespace
}  // namespace unswift
