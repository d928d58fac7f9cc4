// The streaming matmul of packed weights in integers (AVX-512 VNNI).
#pragma once

#include <cstdint>

#include "unswift/ops/cpu/matmul_kernel.h"

namespace unswift {

/// Whether this build and this CPU have the kernel below.
bool HasVnni();

/// Activations enter the products with 15 bits and a sign relative to the largest of their block of
/// 32: |x - x'| <= max|x| / (2 * kVnniLevels). Blocks below kVnniSmallest count as zero.
inline constexpr float kVnniLevels = 16256.0f;
inline constexpr float kVnniSmallest = 1e-30f;

/// One activation row as the kernel takes it. A block with NaN or infinity makes NaN of all
/// outputs. Shapes: x [k]; out [VnniRowFloats(k)], 64-byte aligned.
int64_t VnniRowFloats(int64_t k);
void VnniLayOutRow(DType dtype, const float* x, int64_t k, float* out);

/// y for the groups of 16 weight rows [group_begin, group_end); op.x rows laid out as above.
void VnniPackedRange(const SkinnyMatMul& op, int64_t group_begin, int64_t group_end);

}  // namespace unswift
