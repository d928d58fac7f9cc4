// The packed layout: where each value stands, by the formulas of docs/release_format.md.
#include "unswift/tensor/packed.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "unswift/base/random.h"
#include "unswift/tensor/convert.h"

namespace unswift {
namespace {

constexpr DType kQuantized[] = {DType::kQ8_0, DType::kQ4_0};

struct Packed {
  Packed(DType dtype, int64_t rows, int64_t cols) : rows(rows), cols(cols), values(rows * cols) {
    Random random(7);
    for (float& v : values) v = static_cast<float>(random.NextNormal());
    const Shape shape = PackedShape(dtype, rows, cols);
    bytes.resize(NumElements(shape), std::byte{0x55});
    view = PackedView(dtype, rows, cols, bytes.data());
    for (int64_t r = 0; r < rows; r += kPackedRows) {
      const int64_t count = std::min(kPackedRows, rows - r);
      PackRows(dtype, ConstRows(values.data() + r * cols, count, cols),
               bytes.data() + r * view.row_bytes);
    }
  }
  /// Row r as ggml stores it, padded to whole blocks, widened.
  std::vector<float> Expected(DType dtype, int64_t r) const {
    std::vector<float> row(values.begin() + r * cols, values.begin() + (r + 1) * cols);
    row.resize((cols + 31) / 32 * 32);
    std::vector<std::byte> stored(row.size() / 32 * BlockBytes(dtype));
    RowFromF32(dtype, row, stored.data());
    RowToF32(dtype, stored.data(), row);
    row.resize(cols);
    return row;
  }
  int64_t rows, cols;
  std::vector<float> values;
  std::vector<std::byte> bytes;
  MatrixView view;
};

/// The documented address arithmetic, on its own.
float ValueAt(DType dtype, const Packed& packed, int64_t r, int64_t c) {
  const int64_t tile_bytes = dtype == DType::kQ8_0 ? 544 : 288;
  const int64_t tiles = (packed.cols + 31) / 32;
  const auto* tile = reinterpret_cast<const uint8_t*>(packed.bytes.data()) +
                     (r / 16 * tiles + c / 32) * tile_bytes;
  uint16_t bits;
  std::memcpy(&bits, tile + 2 * (r % 16), 2);
  const int64_t k = c % 32;
  if (dtype == DType::kQ8_0) {
    return F16ToF32(bits) * (tile[32 + k / 4 * 64 + r % 16 * 4 + k % 4] - 128);
  }
  const int byte = tile[32 + k / 8 * 64 + r % 16 * 4 + k % 4];
  return F16ToF32(bits) * ((k % 8 < 4 ? byte & 15 : byte >> 4) - 8);
}

TEST(Packed, EveryValueStandsWhereTheFormatSays) {
  for (const DType dtype : kQuantized) {
    for (const auto& [rows, cols] : {std::pair(16, 32), std::pair(37, 100), std::pair(1, 1)}) {
      const Packed packed(dtype, rows, cols);
      for (int64_t r = 0; r < rows; ++r) {
        const std::vector<float> expected = packed.Expected(dtype, r);
        std::vector<float> row(cols);
        MatrixRowToF32(packed.view, r, row);
        EXPECT_EQ(row, expected);
        for (int64_t c = 0; c < cols; ++c) ASSERT_EQ(ValueAt(dtype, packed, r, c), expected[c]);
      }
    }
  }
}

TEST(Packed, PaddingIsZero) {
  for (const DType dtype : kQuantized) {
    const Packed packed(dtype, 17, 33);
    for (int64_t r = 0; r < 32; ++r) {
      for (int64_t c = 0; c < 64; ++c) {
        if (r >= 17 || c >= 33) {
          ASSERT_EQ(ValueAt(dtype, packed, r, c), 0.0f);
        }
      }
    }
  }
}

TEST(Packed, BlocksComeBackBitForBit) {
  Random random(3);
  for (const DType dtype : kQuantized) {
    std::vector<std::byte> tile(PackedTileBytes(dtype)), block(BlockBytes(dtype)), back = block;
    for (int64_t row = 0; row < kPackedRows; ++row) {
      for (std::byte& b : block) b = static_cast<std::byte>(random.NextBelow(256));
      PackBlock(dtype, block.data(), row, tile.data());
      UnpackBlock(dtype, tile.data(), row, back.data());
      EXPECT_EQ(block, back);
    }
  }
}

TEST(Packed, RangesAreViews) {
  for (const DType dtype : kQuantized) {
    const Packed packed(dtype, 40, 100);
    EXPECT_EQ(packed.view.num_bytes(), static_cast<int64_t>(packed.bytes.size()));
    const MatrixView part = packed.view.Rows(16, 24).Columns(64, 36);
    std::vector<float> row(36);
    MatrixRowToF32(part, 20, row);
    for (int64_t c = 0; c < 36; ++c) EXPECT_EQ(row[c], ValueAt(dtype, packed, 36, 64 + c));
    EXPECT_EQ(part.num_bytes(), 32 * 2 * BlockBytes(dtype));
  }
}

TEST(Packed, StoredTensorsAreToldByTheirShape) {
  const std::byte byte{};
  const TensorView q8{DType::kU8, {2, 3, 544}, &byte, 2 * 3 * 544};
  const TensorView q4{DType::kU8, {2, 3, 288}, &byte, 2 * 3 * 288};
  EXPECT_EQ(AsPackedMatrix(q8, 17, 65)->dtype, DType::kQ8_0);
  EXPECT_EQ(AsPackedMatrix(q4, 32, 96)->dtype, DType::kQ4_0);
  EXPECT_FALSE(AsPackedMatrix(q8, 16, 65));
  EXPECT_FALSE(AsPackedMatrix(q8, 17, 97));
  const TensorView other{DType::kI8, {2, 3, 544}, &byte, 2 * 3 * 544};
  EXPECT_FALSE(AsPackedMatrix(other, 17, 65));
}

}  // namespace
}  // namespace unswift
