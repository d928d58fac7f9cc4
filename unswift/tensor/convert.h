// Scalar conversions between storage types and float32, and their row forms.
//
// These are the definitions; ops/cpu has vector forms that must agree bit for bit.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "unswift/tensor/dtype.h"

namespace unswift {

inline float Bf16ToF32(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

/// Rounds to nearest, ties to even; NaN stays NaN (quiet).
inline uint16_t F32ToBf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

float F16ToF32(uint16_t bits);
/// Rounds to nearest, ties to even; beyond 65504 becomes infinity; NaN stays NaN.
uint16_t F32ToF16(float value);

/// Widens a stored row (f32, f16, bf16, q8_0 or q4_0) to float32. `row` holds out.size() elements.
void RowToF32(DType dtype, const std::byte* row, std::span<float> out);

/// Rounds a float32 row to f32, f16 or bf16 (nearest even), or quantises it to q8_0 / q4_0 as
/// ggml's reference does (q8_0: scale = max|x| / 127; q4_0: scale = signed extreme / -8, with the
/// multiply-add that it leaves to the compiler fused). out holds
/// row.size() / BlockElements(dtype) * BlockBytes(dtype) bytes.
void RowFromF32(DType dtype, std::span<const float> row, std::byte* out);

}  // namespace unswift
