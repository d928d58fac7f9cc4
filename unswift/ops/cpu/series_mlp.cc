#include "unswift/ops/series_mlp.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unswift/ops/cpu/series_mlp-inl.h"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "unswift/ops/cpu/series_mlp-inl.h"

#if HWY_ONCE
#include <algorithm>

#include "unswift/base/check.h"
#include "unswift/ops/cpu/partition.h"
#include "unswift/ops/cpu/scratch.h"
#include "unswift/ops/matmul.h"

namespace unswift {

HWY_EXPORT(SeriesFeatureUnits);

namespace {

void CheckShapes(const SeriesUnits& units, ConstRows z, ConstRows u) {
  UNSWIFT_CHECK(z.cols == units.num_units() && units.inv_radius.size() == units.centre.size());
  UNSWIFT_CHECK(u.data == nullptr || (u.rows == z.rows && u.cols == z.cols));
  UNSWIFT_CHECK(std::ranges::is_sorted(units.units_of_order, std::greater<>()));
  UNSWIFT_CHECK(units.units_of_order.empty() || units.units_of_order[0] <= units.num_units());
}

const float* RowOrNull(ConstRows rows, int64_t r) {
  return rows.data == nullptr ? nullptr : rows.row(r).data();
}

MatMulMode ModeOf(bool accumulate) {
  return accumulate ? MatMulMode::kAccumulate : MatMulMode::kOverwrite;
}

// Features of many rows are formed and multiplied by groups of orders, so that they take at most
// about this many floats (64 MB), or one order's if those are more. Part of the definition of the
// result: a sum is cut where a group ends.
constexpr int64_t kMaxFeatures = 16 << 20;

int64_t NumFeatures(const SeriesUnits& units, const OrderRange& orders) {
  int64_t count = 0;
  for (int64_t n = orders.first; n < orders.last; ++n) count += units.units_of_order[n];
  return count;
}

OrderRange AllOrders(const SeriesUnits& units) {
  return {units.first_order, static_cast<int64_t>(units.units_of_order.size())};
}

/// The orders from `first` on that form one group.
OrderRange NextGroup(const SeriesUnits& units, int64_t first, int64_t rows) {
  OrderRange orders = {first, first + 1};
  const int64_t end = AllOrders(units).last;
  while (orders.last < end && rows * NumFeatures(units, {first, orders.last + 1}) <= kMaxFeatures) {
    ++orders.last;
  }
  return orders;
}

void FormFeatures(const SeriesUnits& units, const OrderRange& orders, ConstRows z, ConstRows u,
                  Rows features, ThreadPool& pool) {
  const auto form = [&](int64_t r, int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(SeriesFeatureUnits)
    (units, orders, z.row(r).data(), RowOrNull(u, r), begin, end, features.row(r).data());
  };
  if (z.rows > kSkinnyRows) {
    pool.ParallelFor(z.rows, 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) form(r, 0, z.cols);
    });
    return;
  }
  const int64_t grain =
      std::max<int64_t>(64, kMinElementsPerPiece / std::max<int64_t>(orders.last, 1));
  pool.ParallelFor(z.cols, grain / 64 * 64, [&](int64_t begin, int64_t end) {
    for (int64_t r = 0; r < z.rows; ++r) form(r, begin, end);
  });
}

}  // namespace

void SeriesFeatures(const SeriesUnits& units, ConstRows z, ConstRows u, Rows features,
                    ThreadPool& pool) {
  CheckShapes(units, z, u);
  UNSWIFT_CHECK(features.rows == z.rows && features.cols == units.num_features());
  FormFeatures(units, AllOrders(units), z, u, features, pool);
}

void SeriesDownProjection(const SeriesUnits& units, ConstRows z, ConstRows u,
                          const MatrixView& theta, Rows y, ThreadPool& pool, bool accumulate) {
  CheckShapes(units, z, u);
  UNSWIFT_CHECK(theta.cols == units.num_features() && theta.rows == y.cols && y.rows == z.rows);
  if (units.num_features() == 0) {
    for (int64_t r = 0; r < y.rows && !accumulate; ++r) std::ranges::fill(y.row(r), 0.0f);
    return;
  }
  // Few rows: all features, one streaming matmul. Many: group by group.
  OrderRange orders = AllOrders(units);
  const int64_t end = orders.last;
  if (z.rows > kSkinnyRows) orders = NextGroup(units, units.first_order, z.rows);
  for (int64_t column = 0; column < theta.cols;) {
    const int64_t count = NumFeatures(units, orders);
    float* memory = ThreadScratch(ScratchSlot::kSeriesFeatures, z.rows * count);
    const Rows features(memory, z.rows, count);
    FormFeatures(units, orders, z, u, features, pool);
    MatMul(features, theta.Columns(column, count), nullptr, y, pool,
           ModeOf(accumulate || column > 0));
    column += count;
    if (orders.last < end) orders = NextGroup(units, orders.last, z.rows);
  }
}

}  // namespace unswift
#endif  // HWY_ONCE
