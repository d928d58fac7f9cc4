#include "unswift/audit/theta_block.h"

#include <algorithm>
#include <vector>

#include "unswift/audit/block_kernels.h"
#include "unswift/base/integers.h"
#include "unswift/ops/pack.h"

namespace unswift {

void ReadThetaColumns(const MatrixView& theta, int64_t row, int64_t column, std::span<float> out) {
  const int64_t block = BlockElements(theta.dtype);
  const int64_t count = static_cast<int64_t>(out.size());
  if (count == 0) return;
  const int64_t begin = column / block * block;
  const int64_t end = std::min(RoundUp(column + count, block), theta.cols);
  const MatrixView columns = theta.Columns(begin, end - begin);
  if (block == 1) {
    FastMatrixRowToF32(columns, row, out);
    return;
  }
  // Quantised: whole blocks, of which the wanted columns are a part.
  std::vector<float> whole(end - begin);
  FastMatrixRowToF32(columns, row, whole);
  std::copy_n(whole.begin() + (column - begin), count, out.begin());
}

ThetaReader::ThetaReader(const SeriesWeights& series) : series_(series) {
  int64_t column = 0;
  for (size_t n = 0; n < series.units_of_order.size(); ++n) {
    column_.push_back(column);
    if (static_cast<int>(n) >= series.first_order) column += series.units_of_order[n];
  }
}

std::span<const ThetaBlock> ThetaReader::Read(int64_t first_unit) {
  const int64_t units = std::min<int64_t>(kUnits, series_.protected_units() - first_unit);
  const int num_blocks = static_cast<int>((units + kAuditLanes - 1) / kAuditLanes);
  const int64_t rows = series_.theta.rows;
  const int first_order = series_.first_order;
  const int max_order = series_.orders[first_unit];
  const int num_orders = max_order - first_order + 1;
  const int64_t block_size = rows * num_orders * kAuditLanes;
  float* const buffer = buffer_.Get(block_size * kBlocks);
  for (int b = 0; b < num_blocks; ++b) {
    const int64_t first = first_unit + b * kAuditLanes;
    blocks_[b] = {
        first,       static_cast<int>(std::min<int64_t>(kAuditLanes, first_unit + units - first)),
        first_order, num_orders,
        rows,        buffer + b * block_size};
  }
  ThetaColumns columns;
  for (int n = 0; n < num_orders; ++n) {
    const int64_t having = series_.units_of_order[n + first_order] - first_unit;
    columns.count[n] = std::clamp<int64_t>(having, 0, units);
    columns.first[n] = column_[n + first_order] + first_unit;
  }
  columns.num_orders = num_orders;
  columns.num_blocks = num_blocks;
  if (IsQuantized(series_.theta.dtype)) {
    ReadPacked(columns, buffer);
  } else {
    WidenBlocks(series_.theta, columns, buffer);
  }
  return {blocks_, static_cast<size_t>(num_blocks)};
}

void ThetaReader::ReadPacked(const ThetaColumns& columns, float* out) {
  const int64_t rows = series_.theta.rows;
  float wide[kUnits];
  for (int64_t row = 0; row < rows; ++row) {
    for (int n = 0; n < columns.num_orders; ++n) {
      ReadThetaColumns(series_.theta, row, columns.first[n], std::span(wide, columns.count[n]));
      std::fill(wide + columns.count[n], wide + kUnits, 0.0f);
      for (int b = 0; b < columns.num_blocks; ++b) {
        float* block = out + b * rows * columns.num_orders * kAuditLanes;
        std::copy_n(wide + b * kAuditLanes, kAuditLanes,
                    block + (row * columns.num_orders + n) * kAuditLanes);
      }
    }
  }
}

}  // namespace unswift
