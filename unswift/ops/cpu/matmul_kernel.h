// Arguments of the streaming matmul kernel.
#pragma once

#include <cstdint>

#include "unswift/ops/cpu/weight_reads.h"
#include "unswift/tensor/rows.h"
#include "unswift/tensor/tensor_view.h"

namespace unswift {

struct SkinnyMatMul {
  const float* x = nullptr;  ///< laid out by LayOutRow, rows x_stride apart, zero-padded to a chunk
  int64_t x_stride = 0;
  MatrixView weight;
  const float* bias = nullptr;
  Rows y;
  bool accumulate = false;
  WeightReads reads = WeightReads::kFar;
};

}  // namespace unswift
