// q8_0 and q4_0 rows: hand-made blocks, and round trips with a derived error bound.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "unswift/base/random.h"
#include "unswift/tensor/convert.h"

namespace unswift {
namespace {

constexpr int kBlock = kQuantBlockSize;

std::vector<std::byte> Quantize(DType dtype, const std::vector<float>& row) {
  std::vector<std::byte> stored(row.size() / kBlock * BlockBytes(dtype));
  RowFromF32(dtype, row, stored.data());
  return stored;
}

std::vector<float> Dequantize(DType dtype, const std::vector<std::byte>& stored) {
  std::vector<float> row(stored.size() / BlockBytes(dtype) * kBlock);
  RowToF32(dtype, stored.data(), row);
  return row;
}

float ScaleOf(const std::vector<std::byte>& stored, size_t block, DType dtype) {
  uint16_t bits;
  std::memcpy(&bits, stored.data() + block * BlockBytes(dtype), sizeof(bits));
  return F16ToF32(bits);
}

std::vector<float> RandomRow(int blocks, double magnitude, uint64_t seed) {
  Random random(seed);
  std::vector<float> row(blocks * kBlock);
  for (float& x : row) x = static_cast<float>(random.NextNormal() * magnitude);
  return row;
}

TEST(Q8, HandMadeBlock) {
  std::vector<std::byte> stored(34);
  const uint16_t scale = F32ToF16(0.25f);
  std::memcpy(stored.data(), &scale, 2);
  for (int i = 0; i < kBlock; ++i) stored[2 + i] = static_cast<std::byte>(i * 8 - 128);
  const std::vector<float> row = Dequantize(DType::kQ8_0, stored);
  for (int i = 0; i < kBlock; ++i) EXPECT_EQ(row[i], 0.25f * static_cast<float>(i * 8 - 128));
}

TEST(Q4, HandMadeBlock) {
  std::vector<std::byte> stored(18);
  const uint16_t scale = F32ToF16(-0.5f);
  std::memcpy(stored.data(), &scale, 2);
  for (int i = 0; i < 16; ++i) stored[2 + i] = static_cast<std::byte>(i | (15 - i) << 4);
  const std::vector<float> row = Dequantize(DType::kQ4_0, stored);
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(row[i], -0.5f * static_cast<float>(i - 8));
    EXPECT_EQ(row[16 + i], -0.5f * static_cast<float>(7 - i));
  }
}

// |x - x'| <= scale / 2 (the grid) + max|x| * 2^-11 (the scale itself is rounded to f16).
TEST(Q8, RoundTripError) {
  for (double magnitude : {1e-3, 0.02, 1.0, 500.0}) {
    const std::vector<float> row = RandomRow(64, magnitude, 1);
    const std::vector<std::byte> stored = Quantize(DType::kQ8_0, row);
    const std::vector<float> back = Dequantize(DType::kQ8_0, stored);
    for (size_t block = 0; block < 64; ++block) {
      float extreme = 0;
      for (int k = 0; k < kBlock; ++k)
        extreme = std::max(extreme, std::abs(row[block * kBlock + k]));
      EXPECT_EQ(ScaleOf(stored, block, DType::kQ8_0), F16ToF32(F32ToF16(extreme / 127)));
      const double f16_error = std::max(extreme * 0x1p-11, 127 * 0x1p-25);  // normal, subnormal
      const double bound = (extreme / 254 + f16_error) * (1 + 1e-5);
      for (int k = 0; k < kBlock; ++k) {
        const size_t i = block * kBlock + k;
        ASSERT_LE(std::abs(row[i] - back[i]), bound) << magnitude << " " << i;
      }
    }
  }
}

// As above, but the side opposite to the extreme ends at 7/8 of it: there up to a whole step.
TEST(Q4, RoundTripError) {
  for (double magnitude : {1e-3, 0.02, 1.0, 500.0}) {
    const std::vector<float> row = RandomRow(64, magnitude, 2);
    const std::vector<std::byte> stored = Quantize(DType::kQ4_0, row);
    const std::vector<float> back = Dequantize(DType::kQ4_0, stored);
    for (size_t block = 0; block < 64; ++block) {
      float extreme = 0;
      for (int k = 0; k < kBlock; ++k) {
        const float x = row[block * kBlock + k];
        if (std::abs(x) > std::abs(extreme)) extreme = x;
      }
      const double step = std::abs(extreme) / 8;
      const double f16_error = std::max(std::abs(extreme) * 0x1p-11, 8 * 0x1p-25);
      for (int k = 0; k < kBlock; ++k) {
        const size_t i = block * kBlock + k;
        const bool clamped = -row[i] / extreme > 7.5 / 8;
        const double bound = ((clamped ? step : step / 2) + f16_error) * (1 + 1e-5);
        ASSERT_LE(std::abs(row[i] - back[i]), bound) << magnitude << " " << i;
        if (row[i] == extreme) {
          EXPECT_NEAR(back[i], extreme, f16_error);
        }
      }
    }
  }
}

TEST(Quantize, ZerosStayZeros) {
  const std::vector<float> zeros(2 * kBlock);
  for (DType dtype : {DType::kQ8_0, DType::kQ4_0}) {
    EXPECT_EQ(Dequantize(dtype, Quantize(dtype, zeros)), zeros) << DTypeName(dtype);
  }
}

TEST(Quantize, GridValuesStay) {
  std::vector<float> eighths(kBlock), bytes(kBlock);
  for (int i = 0; i < kBlock; ++i) eighths[i] = static_cast<float>(i % 16 - 8) * 0.125f;
  for (int i = 0; i < kBlock; ++i) bytes[i] = static_cast<float>(i * 8 - 127) * 0.5f;
  EXPECT_EQ(Dequantize(DType::kQ4_0, Quantize(DType::kQ4_0, eighths)), eighths);
  EXPECT_EQ(Dequantize(DType::kQ8_0, Quantize(DType::kQ8_0, bytes)), bytes);
}

}  // namespace
}  // namespace unswift
