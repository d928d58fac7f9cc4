#include "unswift/ops/pack.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unswift/ops/cpu/pack-inl.h"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "unswift/ops/cpu/pack-inl.h"

#if HWY_ONCE
#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "unswift/base/check.h"
#include "unswift/base/integers.h"
#include "unswift/ops/convert.h"
#include "unswift/ops/cpu/scratch.h"

namespace unswift {

HWY_EXPORT(PackRowKernel);
HWY_EXPORT(UnpackRowKernel);

namespace {

ConversionLoss RoundRow(DType to, std::span<const float> row, std::byte* out,
                        std::span<float> widened) {
  ConversionLoss loss;
  FastRowFromF32(to, row, out);
  FastRowToF32(to, out, widened);
  for (size_t i = 0; i < row.size(); ++i) {
    const double lost = static_cast<double>(widened[i]) - row[i];
    loss.squared_error += lost * lost;
    loss.squared_sum += static_cast<double>(row[i]) * row[i];
  }
  return loss;
}

/// Rows of `from` that become one group, or 16 plain rows.
ConversionLoss ConvertRows(const MatrixView& from, DType to, int64_t begin, std::byte* out) {
  const int64_t count = std::min(kPackedRows, from.rows - begin);
  float* const memory = ThreadScratch(ScratchSlot::kWidenedTile, (kPackedRows + 1) * from.cols);
  const Rows rows(memory, count, from.cols);
  for (int64_t r = 0; r < count; ++r) FastMatrixRowToF32(from, begin + r, rows.row(r));
  const int64_t row_bytes = ConvertedView(from, to, out).row_bytes;
  if (IsQuantized(to)) return FastPackRows(to, rows, out + begin * row_bytes);
  const std::span<float> widened(memory + kPackedRows * from.cols, from.cols);
  ConversionLoss loss;
  for (int64_t r = 0; r < count; ++r) {
    loss.Add(RoundRow(to, rows.row(r), out + (begin + r) * row_bytes, widened));
  }
  return loss;
}

/// As they are: one group of a packed matrix, or 16 plain rows.
void CopyRows(const MatrixView& from, int64_t begin, std::byte* out) {
  const MatrixView to = ConvertedView(from, from.dtype, out);
  const int64_t step = from.is_packed() ? kPackedRows : 1;
  const int64_t end = std::min(begin + kPackedRows, from.rows);
  for (int64_t r = begin; r < end; r += step) {
    std::memcpy(out + r * to.row_bytes, from.data + r * from.row_bytes, step * to.row_bytes);
  }
}

}  // namespace

ConversionLoss FastPackRows(DType dtype, ConstRows rows, std::byte* group) {
  UNSWIFT_CHECK(IsQuantized(dtype) && rows.rows >= 1 && rows.rows <= kPackedRows);
  const int64_t blocks = CeilDiv(rows.cols, kQuantBlockSize), padded = blocks * kQuantBlockSize;
  float* const row = ThreadScratch(ScratchSlot::kPackedRow, padded);
  ConversionLoss loss;
  for (int64_t r = 0; r < kPackedRows; ++r) {  // rows that are not there are zeros
    const int64_t cols = r < rows.rows ? rows.cols : 0;
    std::copy_n(r < rows.rows ? rows.row(r).data() : row, cols, row);
    std::fill(row + cols, row + padded, 0.0f);
    const PackSums sums = HWY_DYNAMIC_DISPATCH(PackRowKernel)(dtype, row, blocks, r, group);
    loss.Add({sums.error, sums.total});
    for (int64_t b = 0; b < blocks && r >= rows.rows; ++b) {  // their q4_0 scale would be -0
      std::memset(group + b * PackedTileBytes(dtype) + 2 * r, 0, 2);
    }
  }
  return loss;
}

void FastMatrixRowToF32(const MatrixView& matrix, int64_t row, std::span<float> out) {
  UNSWIFT_CHECK(std::cmp_equal(out.size(), matrix.cols) && row >= 0 && row < matrix.rows);
  if (!matrix.is_packed()) return FastRowToF32(matrix.dtype, matrix.row(row), out);
  const std::byte* const group = matrix.data + row / kPackedRows * kPackedRows * matrix.row_bytes;
  const int64_t whole = matrix.cols / kQuantBlockSize;
  const auto unpack = HWY_DYNAMIC_DISPATCH(UnpackRowKernel);
  unpack(matrix.dtype, group, row % kPackedRows, whole, out.data());
  if (whole * kQuantBlockSize == matrix.cols) return;
  float last[kQuantBlockSize];
  unpack(matrix.dtype, group + whole * PackedTileBytes(matrix.dtype), row % kPackedRows, 1, last);
  std::copy_n(last, matrix.cols % kQuantBlockSize, out.data() + whole * kQuantBlockSize);
}

int64_t ConvertedBytes(const MatrixView& from, DType to) {
  return ConvertedView(from, to, nullptr).num_bytes();
}

MatrixView ConvertedView(const MatrixView& from, DType to, const std::byte* out) {
  if (IsQuantized(to)) return PackedView(to, from.rows, from.cols, out);
  return {to, from.rows, from.cols, from.cols * BlockBytes(to), out};
}

ConversionLoss ConvertMatrix(const MatrixView& from, DType to, std::byte* out, ThreadPool& pool) {
  const int64_t groups = (from.rows + kPackedRows - 1) / kPackedRows;
  std::vector<ConversionLoss> parts(groups);
  pool.ParallelForDynamic(groups, [&](int64_t group, int) {
    const int64_t begin = group * kPackedRows;
    if (from.dtype == to) return CopyRows(from, begin, out);
    parts[group] = ConvertRows(from, to, begin, out);
  });
  ConversionLoss loss;
  for (const ConversionLoss& part : parts) loss.Add(part);
  return loss;
}

}  // namespace unswift
#endif  // HWY_ONCE
