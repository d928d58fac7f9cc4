// Views of stored tensors (usually of a mapped file) and of weight matrices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "unswift/base/check.h"
#include "unswift/base/integers.h"
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

/// Rows that a packed matrix stores side by side (tensor/packed.h).
inline constexpr int64_t kPackedRows = 16;

/// A weight matrix as the matmul takes it: `rows` outputs, `cols` inputs. Does not own its bytes.
/// f32, f16, bf16: each row contiguous, rows `row_bytes` apart (so a column range of a wider matrix
/// is a MatrixView too). q8_0, q4_0: packed as tensor/packed.h says, groups of 16 rows
/// 16 * row_bytes apart; cols need not be a multiple of 32, the last block is padded.
struct MatrixView {
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_bytes = 0;
  const std::byte* data = nullptr;

  bool is_packed() const { return IsQuantized(dtype); }
  /// Of a matrix that is not packed.
  const std::byte* row(int64_t r) const {
    UNSWIFT_CHECK(!is_packed());
    return data + r * row_bytes;
  }
  /// Bytes that a full read of the matrix touches, padding included.
  int64_t num_bytes() const {
    const int64_t group = is_packed() ? kPackedRows : 1, block = BlockElements(dtype);
    return RoundUp(rows, group) * CeilDiv(cols, block) * BlockBytes(dtype);
  }
  /// Columns [begin, begin + count). Packed: begin is a multiple of 32, and so is count, or the
  /// range ends with the matrix.
  MatrixView Columns(int64_t begin, int64_t count) const {
    const int64_t block = BlockElements(dtype), group = is_packed() ? kPackedRows : 1;
    UNSWIFT_CHECK(begin >= 0 && count >= 0 && begin + count <= cols && begin % block == 0);
    UNSWIFT_CHECK(count % block == 0 || begin + count == cols);
    return {dtype, rows, count, row_bytes, data + begin / block * group * BlockBytes(dtype)};
  }
  /// Rows [begin, begin + count). Packed: as for columns, with multiples of 16.
  MatrixView Rows(int64_t begin, int64_t count) const {
    const int64_t group = is_packed() ? kPackedRows : 1;
    UNSWIFT_CHECK(begin >= 0 && count >= 0 && begin + count <= rows && begin % group == 0);
    UNSWIFT_CHECK(count % group == 0 || begin + count == rows);
    return {dtype, count, cols, row_bytes, data + begin * row_bytes};
  }
};

/// A two-dimensional f32, f16 or bf16 tensor as a matrix of its rows.
inline MatrixView AsMatrix(const TensorView& tensor) {
  UNSWIFT_CHECK(tensor.shape.size() == 2 && !IsQuantized(tensor.dtype));
  return {tensor.dtype, tensor.shape[0], tensor.shape[1],
          tensor.shape[1] * BlockBytes(tensor.dtype), tensor.data};
}

}  // namespace unswift
