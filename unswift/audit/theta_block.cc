#include "unswift/audit/theta_block.h"

#include <algorithm>
#include <vector>

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
  const size_t block_size = static_cast<size_t>(rows) * num_orders * kAuditLanes;
  if (block_size * kBlocks > capacity_) {
    capacity_ = block_size * kBlocks;
    buffer_ = hwy::AllocateAligned<float>(capacity_);
  }
  for (int b = 0; b < num_blocks; ++b) {
    const int64_t first = first_unit + b * kAuditLanes;
    blocks_[b] = {
        first,       static_cast<int>(std::min<int64_t>(kAuditLanes, first_unit + units - first)),
        first_order, num_orders,
        rows,        buffer_.get() + b * block_size};
  }
  float wide[kUnits];
  for (int64_t row = 0; row < rows; ++row) {
    for (int n = 0; n < num_orders; ++n) {
      const int64_t having = series_.units_of_order[n + first_order] - first_unit;
      const int64_t count = std::clamp<int64_t>(having, 0, units);
      ReadThetaColumns(series_.theta, row, column_[n + first_order] + first_unit,
                       std::span(wide, count));
      std::fill(wide + count, wide + num_blocks * kAuditLanes, 0.0f);
      for (int b = 0; b < num_blocks; ++b) {
        std::copy_n(wide + b * kAuditLanes, kAuditLanes,
                    buffer_.get() + b * block_size + (row * num_orders + n) * kAuditLanes);
      }
    }
  }
  return {blocks_, static_cast<size_t>(num_blocks)};
}

}  // namespace unswift
