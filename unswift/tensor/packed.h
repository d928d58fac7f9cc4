// Quantised matrices as kernels read them, in memory and in files: 16 rows side by side.
//
// A matrix [rows, cols] is ceil(rows / 16) groups of ceil(cols / 32) tiles, group after group. A
// tile holds 16 rows x 32 columns: 16 f16 scales, one per row, then
//   q8_0: 8 parts of 64 bytes; byte 4 r + i of part v is row r, column 4 v + i: its value + 128
//   q4_0: 4 parts of 64 bytes; byte 4 r + i of part v is row r: its low nibble column 8 v + i, its
//         high nibble column 8 v + 4 + i, each the value + 8
// and a weight is scale x value: ggml's blocks (tensor/dtype.h) bit for bit, in another order. So a
// SIMD lane is a row, and four neighbouring columns of 16 rows are one vector: no sums across
// lanes, one vector of scales per tile. Rows and columns beyond the matrix have value 0, such rows
// the scale 0, too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "unswift/tensor/rows.h"
#include "unswift/tensor/tensor_view.h"

namespace unswift {

/// 544 (q8_0) or 288 (q4_0).
inline int64_t PackedTileBytes(DType dtype) { return kPackedRows * BlockBytes(dtype); }

/// The packed matrix that starts at data.
MatrixView PackedView(DType dtype, int64_t rows, int64_t cols, const std::byte* data);

/// How files store it: U8 [groups, tiles of a group, bytes of a tile].
Shape PackedShape(DType dtype, int64_t rows, int64_t cols);

/// A stored tensor as a packed matrix; empty when it is none of this many rows and columns.
std::optional<MatrixView> AsPackedMatrix(const TensorView& tensor, int64_t rows, int64_t cols);

/// Moves ggml's block (34 or 18 bytes) of one row to its place in a tile, and back.
void PackBlock(DType dtype, const std::byte* block, int64_t row, std::byte* tile);
void UnpackBlock(DType dtype, const std::byte* tile, int64_t row, std::byte* block);

/// Quantises 1 to 16 rows as RowFromF32 does into one group: ceil(cols / 32) tiles.
void PackRows(DType dtype, ConstRows rows, std::byte* group);

/// One row of a matrix of any type, widened. Shapes: out [cols].
void MatrixRowToF32(const MatrixView& matrix, int64_t row, std::span<float> out);

}  // namespace unswift
