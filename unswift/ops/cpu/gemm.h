// Single-threaded float32 GEMM (oneDNN).
#pragma once

#include <cstdint>

namespace unswift {

/// y[m, n] = x[m, k] b[n, k]^T + (accumulate ? y : 0), row-major, on the calling thread alone.
/// Strides in floats. Safe to call from several threads at once.
void GemmOnThisThread(int64_t m, int64_t n, int64_t k, const float* x, int64_t x_stride,
                      const float* b, int64_t b_stride, bool accumulate, float* y,
                      int64_t y_stride);

}  // namespace unswift
