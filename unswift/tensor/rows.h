// Float32 activations: rows (usually one per token) of equal length.
#pragma once

#include <cstdint>
#include <span>

#include "unswift/base/check.h"

namespace unswift {

/// A row-major float32 matrix, rows `stride` floats apart. T is float or const float.
template <typename T>
struct RowsOf {
  T* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  RowsOf() = default;
  RowsOf(T* data, int64_t rows, int64_t cols) : RowsOf(data, rows, cols, cols) {}
  RowsOf(T* data, int64_t rows, int64_t cols, int64_t stride)
      : data(data), rows(rows), cols(cols), stride(stride) {}
  operator RowsOf<const float>() const { return {data, rows, cols, stride}; }

  std::span<T> row(int64_t r) const { return {data + r * stride, static_cast<size_t>(cols)}; }
  RowsOf Slice(int64_t begin, int64_t count) const {
    UNSWIFT_CHECK(begin >= 0 && begin + count <= rows);
    return {data + begin * stride, count, cols, stride};
  }
  RowsOf Columns(int64_t begin, int64_t count) const {
    UNSWIFT_CHECK(begin >= 0 && begin + count <= cols);
    return {data + begin, rows, count, stride};
  }
};

using Rows = RowsOf<float>;
using ConstRows = RowsOf<const float>;

}  // namespace unswift
