// Arguments of the streaming matmul kernel.
#pragma once

#include <cstdint>

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
  bool wants_8_streams = false;  ///< of weights, instead of 4 (float kernel)
  int64_t long_row = 0;  ///< columns from which one row meets 4 streams, not 2 (float kernel)
};

}  // namespace unswift
