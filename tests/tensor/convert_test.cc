// f16 and bf16 conversions against definitions written from the formats (IEEE 754), in double.
#include "unswift/tensor/convert.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "unswift/base/random.h"

namespace unswift {
namespace {

/// A binary format narrower than float32.
struct Format {
  int mantissa_bits;
  int min_exponent;  // of normal numbers
  int max_exponent;
};
constexpr Format kF16 = {10, -14, 15};
constexpr Format kBf16 = {7, -126, 127};

double Widen(const Format& f, uint16_t bits) {
  const int mantissa = bits & ((1 << f.mantissa_bits) - 1);
  const int exponent = (bits & 0x7fff) >> f.mantissa_bits;
  const double sign = bits >> 15 ? -1.0 : 1.0;
  if (exponent == f.max_exponent - f.min_exponent + 2) {
    return mantissa == 0 ? sign * INFINITY : NAN;
  }
  const double significand = mantissa + (exponent == 0 ? 0 : 1 << f.mantissa_bits);
  return sign * std::ldexp(significand,
                           f.min_exponent - f.mantissa_bits + (exponent == 0 ? 0 : exponent - 1));
}

/// Rounds to nearest, ties to even: the grid's step at |x|, then the bits of the result.
uint16_t Narrow(const Format& f, float value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const int inf_bits = (f.max_exponent - f.min_exponent + 2) << f.mantissa_bits;
  const double magnitude = std::abs(static_cast<double>(value));
  if (std::isinf(value)) return sign | inf_bits;
  if (magnitude == 0) return sign;
  const int exponent = std::max(std::ilogb(magnitude), f.min_exponent);
  const double step = std::ldexp(1.0, exponent - f.mantissa_bits);
  const int64_t units = std::llrint(magnitude / step);  // exact quotient, even on ties
  // In units of the step: adjacent magnitudes have adjacent bits, across exponents too.
  const int64_t bits = (static_cast<int64_t>(exponent - f.min_exponent) << f.mantissa_bits) + units;
  return sign | static_cast<uint16_t>(std::min<int64_t>(bits, inf_bits));
}

float FromBits(uint32_t bits) { return std::bit_cast<float>(bits); }

std::vector<float> HardValues() {
  std::vector<float> values;
  for (const Format& f : {kF16, kBf16}) {
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
      const float value = static_cast<float>(Widen(f, bits));
      if (!std::isfinite(value)) continue;
      const float next = static_cast<float>(Widen(f, static_cast<uint16_t>(bits + 1)));
      // The tie between neighbours (both formats leave float32 room for it) and just beside it.
      const float tie = std::isfinite(next) ? value + (next - value) / 2 : value;
      for (float x : {value, tie}) {
        values.push_back(x);
        values.push_back(std::nextafter(x, INFINITY));
        values.push_back(std::nextafter(x, -INFINITY));
      }
    }
  }
  Random random(1);
  for (int i = 0; i < 500'000; ++i) values.push_back(FromBits(random.NextU64() >> 32));
  for (float x :
       {65504.0f, 65519.996f, 65520.0f, 65536.0f, 0x1p-24f, 0x1p-25f, 0x1.000002p-25f, 0x1p-14f,
        0x1.ffdp-15f, 0x1p-149f, 3.4028235e38f, 0x1.fep127f, 0x1.ffp127f, INFINITY, 0.0f, 1.0f}) {
    values.push_back(x);
    values.push_back(-x);
  }
  return values;
}

TEST(Convert, F16WidensExactly) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float got = F16ToF32(bits);
    const double expected = Widen(kF16, bits);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(got)) << bits;
    } else {
      ASSERT_EQ(std::bit_cast<uint32_t>(got), std::bit_cast<uint32_t>(static_cast<float>(expected)))
          << bits;
    }
  }
}

TEST(Convert, Bf16WidensExactly) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float got = Bf16ToF32(bits);
    const double expected = Widen(kBf16, bits);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(got)) << bits;
    } else {
      ASSERT_EQ(std::bit_cast<uint32_t>(got), std::bit_cast<uint32_t>(static_cast<float>(expected)))
          << bits;
    }
  }
}

TEST(Convert, AllValuesComeBack) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    if (const float f16 = F16ToF32(bits); !std::isnan(f16)) {
      ASSERT_EQ(F32ToF16(f16), bits);
    }
    if (const float bf16 = Bf16ToF32(bits); !std::isnan(bf16)) {
      ASSERT_EQ(F32ToBf16(bf16), bits);
    }
  }
}

TEST(Convert, RoundsToNearestEven) {
  for (float value : HardValues()) {
    if (std::isnan(value)) continue;
    ASSERT_EQ(F32ToF16(value), Narrow(kF16, value)) << std::hexfloat << value;
    ASSERT_EQ(F32ToBf16(value), Narrow(kBf16, value)) << std::hexfloat << value;
  }
}

// The compiler's conversion (hardware or its runtime library). clang 14 has no _Float16 here.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
TEST(Convert, F16AgreesWithTheCompiler) {
  for (float value : HardValues()) {
    const _Float16 narrow = static_cast<_Float16>(value);
    uint16_t expected;
    std::memcpy(&expected, &narrow, sizeof(expected));
    if (std::isnan(value)) continue;
    ASSERT_EQ(F32ToF16(value), expected) << std::hexfloat << value;
  }
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const uint16_t stored = static_cast<uint16_t>(bits);
    _Float16 narrow;
    std::memcpy(&narrow, &stored, sizeof(narrow));
    const float expected = static_cast<float>(narrow);
    if (std::isnan(expected)) continue;
    ASSERT_EQ(std::bit_cast<uint32_t>(F16ToF32(stored)), std::bit_cast<uint32_t>(expected)) << bits;
  }
}
#endif

TEST(Convert, NanStaysNan) {
  for (uint32_t bits : {0x7f800001u, 0x7fc00000u, 0x7fffffffu, 0xff800001u, 0xffffffffu,
                        0x7f80ffffu, 0x7fbfffffu}) {
    const float nan = FromBits(bits);
    EXPECT_TRUE(std::isnan(F16ToF32(F32ToF16(nan)))) << bits;
    EXPECT_TRUE(std::isnan(Bf16ToF32(F32ToBf16(nan)))) << bits;
    EXPECT_EQ(F32ToF16(nan) >> 15, bits >> 31);
    EXPECT_EQ(F32ToBf16(nan) >> 15, bits >> 31);
  }
}

TEST(Convert, RowsEqualTheScalars) {
  const std::vector<float> row = {0.0f, -1.5f, 3.14159f, 65504.0f, 1e-7f, -0.0f, 1e30f};
  std::vector<std::byte> stored(row.size() * 4);
  std::vector<float> back(row.size());
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    RowFromF32(dtype, row, stored.data());
    RowToF32(dtype, stored.data(), back);
    for (size_t i = 0; i < row.size(); ++i) {
      const float expected = dtype == DType::kF32   ? row[i]
                             : dtype == DType::kF16 ? F16ToF32(F32ToF16(row[i]))
                                                    : Bf16ToF32(F32ToBf16(row[i]));
      EXPECT_EQ(back[i], expected) << DTypeName(dtype) << " " << i;
    }
  }
}

}  // namespace
}  // namespace unswift
