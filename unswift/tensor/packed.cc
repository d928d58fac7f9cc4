#include "unswift/tensor/packed.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "unswift/base/integers.h"
#include "unswift/tensor/convert.h"

namespace unswift {
namespace {

constexpr int64_t kScaleBytes = 2;
constexpr int64_t kPartBytes = 4 * kPackedRows;
constexpr std::byte kQ8Zero{128};
constexpr std::byte kQ4Zeros{0x88};

/// Byte i of a row in a part of a tile.
std::byte* Place(std::byte* tile, int64_t part, int64_t row, int64_t i) {
  return tile + kScaleBytes * kPackedRows + part * kPartBytes + 4 * row + i;
}
const std::byte* Place(const std::byte* tile, int64_t part, int64_t row, int64_t i) {
  return Place(const_cast<std::byte*>(tile), part, row, i);
}

/// Nibble k of ggml's q4_0 block: low ones first.
int GgmlNibble(const std::byte* block, int64_t k) {
  const int packed = std::to_integer<int>(block[kScaleBytes + k % 16]);
  return k < 16 ? packed & 15 : packed >> 4;
}

}  // namespace

MatrixView PackedView(DType dtype, int64_t rows, int64_t cols, const std::byte* data) {
  UNSWIFT_CHECK(IsQuantized(dtype));
  return {dtype, rows, cols, CeilDiv(cols, kQuantBlockSize) * BlockBytes(dtype), data};
}

Shape PackedShape(DType dtype, int64_t rows, int64_t cols) {
  return {CeilDiv(rows, kPackedRows), CeilDiv(cols, kQuantBlockSize), PackedTileBytes(dtype)};
}

std::optional<MatrixView> AsPackedMatrix(const TensorView& tensor, int64_t rows, int64_t cols) {
  for (const DType dtype : {DType::kQ8_0, DType::kQ4_0}) {
    if (tensor.dtype == DType::kU8 && tensor.shape == PackedShape(dtype, rows, cols)) {
      return PackedView(dtype, rows, cols, tensor.data);
    }
  }
  return std::nullopt;
}

void PackBlock(DType dtype, const std::byte* block, int64_t row, std::byte* tile) {
  std::memcpy(tile + kScaleBytes * row, block, kScaleBytes);
  if (dtype == DType::kQ8_0) {
    for (int64_t k = 0; k < kQuantBlockSize; ++k) {
      *Place(tile, k / 4, row, k % 4) = block[kScaleBytes + k] ^ kQ8Zero;
    }
    return;
  }
  for (int64_t part = 0; part < 4; ++part) {
    for (int64_t i = 0; i < 4; ++i) {
      const int low = GgmlNibble(block, 8 * part + i), high = GgmlNibble(block, 8 * part + 4 + i);
      *Place(tile, part, row, i) = static_cast<std::byte>(low | high << 4);
    }
  }
}

void UnpackBlock(DType dtype, const std::byte* tile, int64_t row, std::byte* block) {
  std::memcpy(block, tile + kScaleBytes * row, kScaleBytes);
  if (dtype == DType::kQ8_0) {
    for (int64_t k = 0; k < kQuantBlockSize; ++k) {
      block[kScaleBytes + k] = *Place(tile, k / 4, row, k % 4) ^ kQ8Zero;
    }
    return;
  }
  const auto nibble = [&](int64_t k) {
    const int packed = std::to_integer<int>(*Place(tile, k / 8, row, k % 4));
    return k % 8 < 4 ? packed & 15 : packed >> 4;
  };
  for (int64_t k = 0; k < 16; ++k) {
    block[kScaleBytes + k] = static_cast<std::byte>(nibble(k) | nibble(k + 16) << 4);
  }
}

void PackRows(DType dtype, ConstRows rows, std::byte* group) {
  UNSWIFT_CHECK(IsQuantized(dtype) && rows.rows >= 1 && rows.rows <= kPackedRows);
  const int64_t tiles = CeilDiv(rows.cols, kQuantBlockSize), tile_bytes = PackedTileBytes(dtype);
  for (int64_t t = 0; t < tiles; ++t) {
    std::byte* const tile = group + t * tile_bytes;
    std::fill_n(tile, kScaleBytes * kPackedRows, std::byte{0});
    std::fill_n(tile + kScaleBytes * kPackedRows, tile_bytes - kScaleBytes * kPackedRows,
                dtype == DType::kQ8_0 ? kQ8Zero : kQ4Zeros);
  }
  std::vector<float> padded(tiles * kQuantBlockSize, 0.0f);
  std::vector<std::byte> blocks(tiles * BlockBytes(dtype));
  for (int64_t r = 0; r < rows.rows; ++r) {
    std::ranges::copy(rows.row(r), padded.begin());
    RowFromF32(dtype, padded, blocks.data());
    for (int64_t t = 0; t < tiles; ++t) {
      PackBlock(dtype, blocks.data() + t * BlockBytes(dtype), r, group + t * tile_bytes);
    }
  }
}

void MatrixRowToF32(const MatrixView& matrix, int64_t row, std::span<float> out) {
  UNSWIFT_CHECK(std::cmp_equal(out.size(), matrix.cols));
  if (!matrix.is_packed()) return RowToF32(matrix.dtype, matrix.row(row), out);
  const std::byte* tile = matrix.data + row / kPackedRows * kPackedRows * matrix.row_bytes;
  std::array<std::byte, 34> block;
  std::array<float, kQuantBlockSize> values;
  for (size_t k = 0; k < out.size(); k += kQuantBlockSize) {
    UnpackBlock(matrix.dtype, tile, row % kPackedRows, block.data());
    RowToF32(matrix.dtype, block.data(), values);
    std::copy_n(values.begin(), std::min(values.size(), out.size() - k), out.begin() + k);
    tile += PackedTileBytes(matrix.dtype);
  }
}

}  // namespace unswift
