#include "unswift/ops/rope.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unswift/ops/cpu/rope-inl.h"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "unswift/ops/cpu/rope-inl.h"

#if HWY_ONCE
#include <cmath>

#include "unswift/base/check.h"
#include "unswift/ops/cpu/partition.h"

namespace unswift {

HWY_EXPORT(RotateRow);

void RopeTable::Resize(int64_t rows, int64_t half) {
  rows_ = rows;
  half_ = half;
  cosines_.resize(rows * half);
  sines_.resize(rows * half);
}

void RopeTable::SetRows(int64_t first_row, std::span<const int32_t> positions,
                        std::span<const double> inv_freq, double scale, ThreadPool& pool) {
  const auto count = static_cast<int64_t>(positions.size());
  UNSWIFT_CHECK(inv_freq.size() == half_ && first_row >= 0 && first_row + count <= rows_);
  pool.ParallelFor(count, 8, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * half_; i < end * half_; ++i) {
      const double angle = positions[i / half_] * inv_freq[i % half_];
      cosines_[first_row * half_ + i] = static_cast<float>(scale * std::cos(angle));
      sines_[first_row * half_ + i] = static_cast<float>(scale * std::sin(angle));
    }
  });
}

void ApplyRope(Rows x, int64_t head_dim, const RopeTable& table, ThreadPool& pool) {
  UNSWIFT_CHECK(head_dim > 0 && x.cols % head_dim == 0 && 2 * table.half() <= head_dim);
  UNSWIFT_CHECK(table.rows() == x.rows);
  ForEachRow(x.rows, x.cols, pool, [&](int64_t r) {
    HWY_DYNAMIC_DISPATCH(RotateRow)
    (x.row(r).data(), x.cols / head_dim, head_dim, table.half(), table.cosines(r), table.sines(r));
  });
}

}  // namespace unswift
#endif  // HWY_ONCE
