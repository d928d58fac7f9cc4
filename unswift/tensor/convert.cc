#include "unswift/tensor/convert.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "unswift/base/check.h"

namespace unswift {
namespace {

template <typename T>
T Load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

template <typename T>
void Store(T value, std::byte* to) {
  std::memcpy(to, &value, sizeof(T));
}

void Q8RowToF32(const std::byte* row, std::span<float> out) {
  for (size_t i = 0; i < out.size(); i += kQuantBlockSize, row += BlockBytes(DType::kQ8_0)) {
    const float scale = F16ToF32(Load<uint16_t>(row));
    for (int k = 0; k < kQuantBlockSize; ++k) out[i + k] = scale * Load<int8_t>(row + 2 + k);
  }
}

void Q4RowToF32(const std::byte* row, std::span<float> out) {
  constexpr int kHalf = kQuantBlockSize / 2;
  for (size_t i = 0; i < out.size(); i += kQuantBlockSize, row += BlockBytes(DType::kQ4_0)) {
    const float scale = F16ToF32(Load<uint16_t>(row));
    for (int k = 0; k < kHalf; ++k) {
      const int packed = std::to_integer<int>(row[2 + k]);
      out[i + k] = scale * ((packed & 15) - 8);
      out[i + k + kHalf] = scale * ((packed >> 4) - 8);
    }
  }
}

void Q8RowFromF32(std::span<const float> row, std::byte* out) {
  for (size_t i = 0; i < row.size(); i += kQuantBlockSize, out += BlockBytes(DType::kQ8_0)) {
    float extreme = 0.0f;
    for (int k = 0; k < kQuantBlockSize; ++k) extreme = std::max(extreme, std::abs(row[i + k]));
    const float scale = extreme / 127.0f;
    const float inverse = scale == 0.0f ? 0.0f : 1.0f / scale;
    Store(F32ToF16(scale), out);
    for (int k = 0; k < kQuantBlockSize; ++k) {
      Store(static_cast<int8_t>(std::lround(row[i + k] * inverse)), out + 2 + k);
    }
  }
}

void Q4RowFromF32(std::span<const float> row, std::byte* out) {
  constexpr int kHalf = kQuantBlockSize / 2;
  for (size_t i = 0; i < row.size(); i += kQuantBlockSize, out += BlockBytes(DType::kQ4_0)) {
    float extreme = 0.0f;
    for (int k = 0; k < kQuantBlockSize; ++k) {
      if (std::abs(row[i + k]) > std::abs(extreme)) extreme = row[i + k];
    }
    const float scale = extreme / -8.0f;
    const float inverse = scale == 0.0f ? 0.0f : 1.0f / scale;
    Store(F32ToF16(scale), out);
    const auto quantise = [&](float value) {
      return std::clamp(static_cast<int>(std::fma(value, inverse, 8.5f)), 0, 15);
    };
    for (int k = 0; k < kHalf; ++k) {
      const int packed = quantise(row[i + k]) | quantise(row[i + k + kHalf]) << 4;
      out[2 + k] = static_cast<std::byte>(packed);
    }
  }
}

}  // namespace

float F16ToF32(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1fu;
  const uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | mantissa << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;  // subnormal or zero
  return sign != 0 ? -magnitude : magnitude;
}

uint16_t F32ToF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u;
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;  // 65520 and up rounds to infinity
  if (magnitude < 0x38800000u) {
    // Below 2^-14: the result is a multiple of 2^-24; adding 0.5 makes the FPU round to that grid.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u));
  }
  const uint32_t rebased = magnitude - (112u << 23);
  return static_cast<uint16_t>(sign | ((rebased + 0xfffu + ((rebased >> 13) & 1u)) >> 13));
}

void RowToF32(DType dtype, const std::byte* row, std::span<float> out) {
  switch (dtype) {
    case DType::kF32:
      std::memcpy(out.data(), row, out.size_bytes());
      return;
    case DType::kF16:
      for (size_t i = 0; i < out.size(); ++i) out[i] = F16ToF32(Load<uint16_t>(row + 2 * i));
      return;
    case DType::kBF16:
      for (size_t i = 0; i < out.size(); ++i) out[i] = Bf16ToF32(Load<uint16_t>(row + 2 * i));
      return;
    case DType::kQ8_0:
      return Q8RowToF32(row, out);
    case DType::kQ4_0:
      return Q4RowToF32(row, out);
    default:
      UNSWIFT_CHECK(false);
  }
}

void RowFromF32(DType dtype, std::span<const float> row, std::byte* out) {
  switch (dtype) {
    case DType::kF32:
      std::memcpy(out, row.data(), row.size_bytes());
      return;
    case DType::kF16:
      for (size_t i = 0; i < row.size(); ++i) Store(F32ToF16(row[i]), out + 2 * i);
      return;
    case DType::kBF16:
      for (size_t i = 0; i < row.size(); ++i) Store(F32ToBf16(row[i]), out + 2 * i);
      return;
    case DType::kQ8_0:
      return Q8RowFromF32(row, out);
    case DType::kQ4_0:
      return Q4RowFromF32(row, out);
    default:
      UNSWIFT_CHECK(false);
  }
}

}  // namespace unswift
