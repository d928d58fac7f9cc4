// Vector forms of tensor/convert.h, bit for bit the same results (NaN payloads aside).
#pragma once

#include <cstddef>
#include <span>

#include "unswift/tensor/dtype.h"

namespace unswift {

/// Widens a stored row (f32, f16, bf16 by SIMD; quantised by the scalar definition).
void FastRowToF32(DType dtype, const std::byte* row, std::span<float> out);
/// Rounds a row to f32, f16 or bf16, nearest even.
void FastRowFromF32(DType dtype, std::span<const float> row, std::byte* out);
/// True when every value is finite. dtype f32, f16 or bf16.
bool AllFinite(DType dtype, const std::byte* data, int64_t count);

}  // namespace unswift
