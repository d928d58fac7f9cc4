// Vector forms of tensor/packed.h, bit for bit the same results, and whole matrices from one
// storage type to another.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>

#include "unswift/base/thread_pool.h"
#include "unswift/tensor/packed.h"

namespace unswift {

/// What storing values in another type lost.
struct ConversionLoss {
  double squared_error = 0.0;  ///< sum of (stored - value)^2
  double squared_sum = 0.0;    ///< sum of value^2

  double relative_rms() const {
    return squared_sum > 0.0 ? std::sqrt(squared_error / squared_sum) : 0.0;
  }
  void Add(const ConversionLoss& other) {
    squared_error += other.squared_error;
    squared_sum += other.squared_sum;
  }
};

/// PackRows of tensor/packed.h.
ConversionLoss FastPackRows(DType dtype, ConstRows rows, std::byte* group);

/// One row of a matrix of any storage type, widened. Shapes: out [cols].
void FastMatrixRowToF32(const MatrixView& matrix, int64_t row, std::span<float> out);

/// Bytes that ConvertMatrix writes.
int64_t ConvertedBytes(const MatrixView& from, DType to);
/// The view of what it wrote.
MatrixView ConvertedView(const MatrixView& from, DType to, const std::byte* out);

/// Stores a matrix as f32, f16, bf16 (nearest even), q8_0 or q4_0 (packed); one of that type is
/// copied, and loses and counts nothing. Deterministic for any number of threads. Cost in memory:
/// 16 rows of floats per thread.
ConversionLoss ConvertMatrix(const MatrixView& from, DType to, std::byte* out, ThreadPool& pool);

}  // namespace unswift
