// The matmul of packed weights in integers (AVX-512 VNNI).
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

/// Activation rows as the kernel takes them, a panel. A block with NaN or infinity makes NaN of all
/// outputs of its row. Shapes: x [rows, k]; out [VnniPanelFloats(rows, k)], 64-byte aligned; one
/// call lays out one row.
int64_t VnniPanelFloats(int64_t rows, int64_t k);
void VnniLayOutRow(DType dtype, ConstRows x, int64_t row, float* out);

/// Rows of a panel that stays in a second-level cache while the weights pass by.
int64_t VnniPanelRows(int64_t k);

/// y for the groups of 16 weight rows [group_begin, group_end); op.x a panel of op.y.rows rows. An
/// output's bits depend on its own two rows only, not on the panel or the range.
void VnniPackedRange(const SkinnyMatMul& op, int64_t group_begin, int64_t group_end);

}  // namespace unswift
