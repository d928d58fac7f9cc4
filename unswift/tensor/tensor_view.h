// Views of stored tensors (usually of a mapped file) and of weight matrices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "unswift/base/check.h"
#include "unswift/tensor/dtype.h"

namespace unswift {

using Shape = std::vector<int64_t>;

/// Product of the dimensions (1 for a scalar). The caller has checked for overflow.
int64_t NumElements(const Shape& shape);
/// "[2, 3]"
std::string ShapeString(const Shape& shape);

/// A stored tensor: row-major, contiguous, little-endian. Does not own its bytes.
struct TensorView {
  DType dtype = DType::kF32;
  Shape shape;
  const std::byte* data = nullptr;
  int64_t num_bytes = 0;

  int64_t num_elements() const { return NumElements(shape); }
};

/// A weight matrix as the matmul takes it: `rows` outputs, `cols` inputs, each row contiguous, rows
/// `row_bytes` apart (so a column range of a wider matrix is a MatrixView too). Does not own its
/// bytes.
struct MatrixView {
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_bytes = 0;
  const std::byte* data = nullptr;

  const std::byte* row(int64_t r) const { return data + r * row_bytes; }
  /// Bytes that a full read of the matrix touches.
  int64_t num_bytes() const { return rows * (cols / BlockElements(dtype)) * BlockBytes(dtype); }
  /// Columns [begin, begin + count); both must be multiples of the dtype's block.
  MatrixView Columns(int64_t begin, int64_t count) const {
    const int64_t block = BlockElements(dtype);
    UNSWIFT_CHECK(begin % block == 0 && count % block == 0 && begin + count <= cols);
    return {dtype, rows, count, row_bytes, data + begin / block * BlockBytes(dtype)};
  }
  MatrixView Rows(int64_t begin, int64_t count) const {
    UNSWIFT_CHECK(begin + count <= rows);
    return {dtype, count, cols, row_bytes, row(begin)};
  }
};

/// A two-dimensional tensor as a matrix of its rows.
inline MatrixView AsMatrix(const TensorView& tensor) {
  UNSWIFT_CHECK(tensor.shape.size() == 2 && tensor.shape[1] % BlockElements(tensor.dtype) == 0);
  const int64_t row_bytes =
      tensor.shape[1] / BlockElements(tensor.dtype) * BlockBytes(tensor.dtype);
  return {tensor.dtype, tensor.shape[0], tensor.shape[1], row_bytes, tensor.data};
}

}  // namespace unswift
