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
HWY_EXPORT(SeriesOrderStep);

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

void FewRows(const SeriesUnits& units, ConstRows z, ConstRows u, const MatrixView& theta, Rows y,
             ThreadPool& pool, bool accumulate) {
  const int64_t num_features = units.num_features();
  float* memory = ThreadScratch(ScratchSlot::kSeriesFeatures, z.rows * num_features);
  const Rows features(memory, z.rows, num_features);
  SeriesFeatures(units, z, u, features, pool);
  MatMul(features, theta, nullptr, y, pool, ModeOf(accumulate));
}

void ManyRows(const SeriesUnits& units, ConstRows z, ConstRows u, const MatrixView& theta, Rows y,
              ThreadPool& pool, bool accumulate) {
  const int64_t m = z.rows, h = z.cols;
  AlignedBuffer previous_memory, current_memory, feature_memory;
  const Rows previous(previous_memory.Get(m * h), m, h);
  const Rows current(current_memory.Get(m * h), m, h);
  const Rows feature(feature_memory.Get(m * h), m, h);
  int64_t first_column = 0;
  for (int64_t n = 0; n < static_cast<int64_t>(units.units_of_order.size()); ++n) {
    const int64_t count = units.units_of_order[n];
    if (count == 0) break;
    ForEachRow(m, count, pool, [&](int64_t r) {
      const SeriesOrderRow row{z.row(r).data(), RowOrNull(u, r), previous.row(r).data(),
                               current.row(r).data(), feature.row(r).data()};
      HWY_DYNAMIC_DISPATCH(SeriesOrderStep)(units, row, n, count);
    });
    if (n < units.first_order) continue;
    MatMul(feature.Columns(0, count), theta.Columns(first_column, count), nullptr, y, pool,
           ModeOf(accumulate || first_column > 0));
    first_column += count;
  }
}

}  // namespace

void SeriesFeatures(const SeriesUnits& units, ConstRows z, ConstRows u, Rows features,
                    ThreadPool& pool) {
  CheckShapes(units, z, u);
  UNSWIFT_CHECK(features.rows == z.rows && features.cols == units.num_features());
  const int64_t orders = static_cast<int64_t>(units.units_of_order.size());
  const int64_t grain = std::max<int64_t>(64, kMinElementsPerPiece / std::max<int64_t>(orders, 1));
  pool.ParallelFor(z.cols, grain / 64 * 64, [&](int64_t begin, int64_t end) {
    for (int64_t r = 0; r < z.rows; ++r) {
      HWY_DYNAMIC_DISPATCH(SeriesFeatureUnits)
      (units, z.row(r).data(), RowOrNull(u, r), begin, end, features.row(r).data());
    }
  });
}

void SeriesDownProjection(const SeriesUnits& units, ConstRows z, ConstRows u,
                          const MatrixView& theta, Rows y, ThreadPool& pool, bool accumulate) {
  CheckShapes(units, z, u);
  UNSWIFT_CHECK(theta.cols == units.num_features() && theta.rows == y.cols && y.rows == z.rows);
  if (units.num_features() == 0) {
    for (int64_t r = 0; r < y.rows && !accumulate; ++r) std::ranges::fill(y.row(r), 0.0f);
    return;
  }
  if (z.rows <= kSkinnyRows) {
    FewRows(units, z, u, theta, y, pool, accumulate);
  } else {
    ManyRows(units, z, u, theta, y, pool, accumulate);
  }
}

}  // namespace unswift
#endif  // HWY_ONCE
