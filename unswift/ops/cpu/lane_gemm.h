// Matrix multiplication of many rows on processors with AVX-512 and without tile units: by float32
// products, or by bf16 products of activations rounded to bf16. A vector's lanes are activation
// rows; a weight is broadcast to all of them.
#pragma once

#include "unswift/base/thread_pool.h"
#include "unswift/tensor/rows.h"
#include "unswift/tensor/tensor_view.h"

namespace unswift {

enum class LaneProducts { kFloat32, kBf16 };

/// Whether LaneMatMul multiplies such weights here and now. kBf16: bf16 weights on a processor
/// whose best unit for them is vdpbf16ps; kFloat32: f32, f16, and bf16 weights.
bool LaneMatMulTakes(DType weight, LaneProducts products);

/// y (+)= x W^T (+ bias). k is cut into blocks whose length depends on k alone; a block is summed
/// in order, from zero, and the blocks' sums are added in order: one of an output's products passes
/// through at most k + 1 roundings.
void LaneMatMul(ConstRows x, const MatrixView& weight, const float* bias, Rows y, ThreadPool& pool,
                bool accumulate, LaneProducts products);

}  // namespace unswift
