#include "unswift/ops/series_mlp.h"

#include <algorithm>
#include <numeric>

#include "tests/ops/kernel_test.h"
#include "unswift/ops/matmul.h"
#include "unswift/ops/reference/reference.h"

namespace unswift {
namespace {

class SeriesMlpTest : public EveryTarget {};
UNSWIFT_INSTANTIATE_FOR_EVERY_TARGET(SeriesMlpTest);

/// Units with random centres and radii and orders that descend from max_order, some of them equal.
struct TestUnits {
  TestUnits(int64_t num_units, int64_t max_order, uint64_t seed) {
    Random random(seed);
    for (int64_t j = 0; j < num_units; ++j) {
      orders.push_back(static_cast<int64_t>(random.NextBelow(max_order + 1)));
      centre.push_back(static_cast<float>(random.NextNormal()));
      inv_radius.push_back(static_cast<float>(1.0 / (0.5 + 3.0 * random.NextUniform())));
    }
    if (num_units > 0) orders[0] = max_order;
    std::ranges::sort(orders, std::greater<>());
    units_of_order.resize(max_order + 1);
    for (const int64_t order : orders) {
      for (int64_t n = 0; n <= order; ++n) ++units_of_order[n];
    }
    view.centre = centre;
    view.inv_radius = inv_radius;
    view.units_of_order = units_of_order;
  }
  std::vector<int64_t> orders, units_of_order;
  std::vector<float> centre, inv_radius;
  SeriesUnits view;
};

/// Pre-activations on both sides of every interval's ends, and exactly on them.
TestRows Activations(const SeriesUnits& units, int64_t m, double spread) {
  TestRows z(m, units.num_units(), 5);
  for (int64_t r = 0; r < m; ++r) {
    for (int64_t j = 0; j < units.num_units(); ++j) {
      float& value = z.view().row(r)[j];
      const float t =
          j % 11 == 0 ? (r % 2 == 0 ? 1.0f : -1.0f) : static_cast<float>(spread) * value;
      value = units.centre[j] + t / units.inv_radius[j];
    }
  }
  return z;
}

// t carries the rounding of the difference and of the product, 2 u |t|, and p_n' <= n^2 P where
// P = p_n(max(1, |t|)): 2 n^2 u |t| P. Each step of the recurrence rounds twice at most, by 2 u P_k
// with P_k P_{n-k} <= 2 P, and an error in step k arrives multiplied by U_{n-k} <= (n - k + 1)
// P_{n-k}: in sum 2 n^2 u P (1 + |t|). The guard's line adds two roundings of n^2 (|t| - 1) and the
// factor u_j one more: all within 4 (n^2 + 1) (1 + |t|) u P |u_j|. Taylor is better behaved: its P'
// is n P.
double FeatureTolerance(const SeriesUnits& units, int64_t n, double z, int64_t j, double u) {
  const double t = std::abs((z - units.centre[j]) * double(units.inv_radius[j]));
  double growth = 1.0;
  if (units.guard != SeriesGuard::kLinear && t > 1.0) {
    growth =
        units.basis == SeriesBasis::kTaylor ? std::pow(t, double(n)) : std::cosh(n * std::acosh(t));
  }
  return 4.0 * (n * n + 1.0) * (1.0 + t) * kUnitRoundoff * growth * std::abs(u);
}

/// Calls fn(column, n, j) for every feature, in the documented order.
template <typename Fn>
void ForEachFeature(const SeriesUnits& units, const Fn& fn) {
  int64_t column = 0;
  for (size_t n = units.first_order; n < units.units_of_order.size(); ++n) {
    for (int64_t j = 0; j < units.units_of_order[n]; ++j) fn(column++, static_cast<int64_t>(n), j);
  }
}

void CheckFeatures(const SeriesUnits& units, double spread, bool gated) {
  ThreadPool pool(2);
  constexpr int64_t kRows = 3;
  TestRows z = Activations(units, kRows, spread), u(kRows, units.num_units(), 6);
  const ConstRows u_view = gated ? ConstRows(u.view()) : ConstRows();
  TestRows features(kRows, units.num_features(), 7);
  SeriesFeatures(units, z.view(), u_view, features.view(), pool);
  const auto expected = reference::SeriesFeatures(units, z.view(), u_view);
  ForEachFeature(units, [&](int64_t column, int64_t n, int64_t j) {
    for (int64_t r = 0; r < kRows; ++r) {
      const double factor = gated ? u.view().row(r)[j] : 1.0;
      const double value = z.view().row(r)[j];
      ASSERT_NEAR(features.view().row(r)[column], expected.at(r, column),
                  FeatureTolerance(units, n, value, j, factor))
          << "order " << n << " unit " << j << " t "
          << (value - units.centre[j]) * units.inv_radius[j];
    }
  });
  EXPECT_TRUE(features.GapsUntouched());
}

const SeriesBasis kBases[] = {SeriesBasis::kChebyshev, SeriesBasis::kTaylor};

TEST_P(SeriesMlpTest, FeaturesWithLinearGuard) {
  for (const SeriesBasis basis : kBases) {
    for (const int64_t num_units : {1, 2, 15, 16, 17, 100, 700}) {
      TestUnits units(num_units, num_units % 2 == 0 ? 32 : 9, 1);
      units.view.basis = basis;
      CheckFeatures(units.view, 0.5, true);
      CheckFeatures(units.view, 4.0, true);
      units.view.first_order = 1;
      CheckFeatures(units.view, 2.0, false);
    }
  }
}

TEST_P(SeriesMlpTest, FeaturesWithoutGuardAndTruncated) {
  for (const SeriesBasis basis : kBases) {
    TestUnits units(53, 8, 2);
    units.view.basis = basis;
    units.view.guard = SeriesGuard::kNone;
    CheckFeatures(units.view, 2.0, true);
    units.view.guard = SeriesGuard::kTruncate;
    units.view.cutoff = 2.5f;
    units.view.cutoff_order = 3;
    CheckFeatures(units.view, 2.0, true);
  }
}

// T_n stays bounded by its line however far z strays, and never turns into NaN.
TEST_P(SeriesMlpTest, FarOutsideIsFinite) {
  ThreadPool pool(1);
  TestUnits units(20, 32, 3);
  for (const SeriesBasis basis : kBases) {
    units.view.basis = basis;
    TestRows z = Activations(units.view, 1, 1e20), features(1, units.view.num_features(), 4);
    SeriesFeatures(units.view, z.view(), {}, features.view(), pool);
    for (const float value : features.view().row(0)) EXPECT_TRUE(std::isfinite(value));
  }
  units.view.guard =
      SeriesGuard::kTruncate;  // t^n overflows, but it is dropped, not multiplied by 0
  units.view.cutoff = 2.5f;
  units.view.cutoff_order = 1;
  TestRows z = Activations(units.view, 1, 1e20), features(1, units.view.num_features(), 4);
  SeriesFeatures(units.view, z.view(), {}, features.view(), pool);
  for (const float value : features.view().row(0)) EXPECT_TRUE(std::isfinite(value));
}

void CheckProjection(const SeriesUnits& units, DType dtype, int64_t m, bool gated,
                     bool accumulate) {
  ThreadPool pool(2);
  constexpr int64_t kOut = 23;
  TestRows z = Activations(units, m, 1.5), u(m, units.num_units(), 6), y(m, kOut, 7);
  TestRows old = y;
  const ConstRows u_view = gated ? ConstRows(u.view()) : ConstRows();
  const TestWeight theta(dtype, kOut, units.num_features(), 8, /*misalign=*/1);
  SeriesDownProjection(units, z.view(), u_view, theta.view(), y.view(), pool, accumulate);

  const auto features = reference::SeriesFeatures(units, z.view(), u_view);
  // Of the sum: at most one rounding per feature and per order's addition.
  const double sum_factor =
      (units.num_features() + units.units_of_order.size() + 4.0) * kUnitRoundoff;
  std::vector<float> theta_row(units.num_features());
  for (int64_t i = 0; i < kOut; ++i) {
    RowToF32(dtype, theta.view().row(i), theta_row);
    for (int64_t r = 0; r < m; ++r) {
      double expected = accumulate ? old.view().row(r)[i] : 0.0;
      double tolerance = sum_factor * std::abs(expected);
      ForEachFeature(units, [&](int64_t column, int64_t n, int64_t j) {
        const double feature = features.at(r, column);
        const double error =
            FeatureTolerance(units, n, z.view().row(r)[j], j, gated ? u.view().row(r)[j] : 1.0);
        expected += feature * theta_row[column];
        tolerance += (error + sum_factor * std::abs(feature)) * std::abs(theta_row[column]);
      });
      ASSERT_NEAR(y.view().row(r)[i], expected, tolerance) << "m " << m << " at " << r << ", " << i;
    }
  }
  EXPECT_TRUE(y.GapsUntouched());
}

TEST_P(SeriesMlpTest, DownProjection) {
  TestUnits units(75, 12, 1);
  for (const DType dtype : kFloatTypes) {
    // All features at once, and order by order.
    for (const int64_t m : {int64_t{1}, int64_t{5}, kSkinnyRows + 8}) {
      for (const SeriesBasis basis : kBases) {
        for (const bool accumulate : {false, true}) {
          units.view.basis = basis;
          units.view.first_order = 0;
          CheckProjection(units.view, dtype, m, true, accumulate);
          units.view.first_order = 1;
          CheckProjection(units.view, dtype, m, false, accumulate);
        }
      }
    }
  }
}

TEST_P(SeriesMlpTest, SameBitsForAnyNumberOfThreads) {
  const TestUnits units(900, 12, 1);
  const TestWeight theta(DType::kBF16, 300, units.view.num_features(), 9);
  for (const int64_t m : {int64_t{1}, kSkinnyRows + 8}) {
    std::vector<std::vector<float>> results;
    for (const int threads : {1, 2, 3}) {
      ThreadPool pool(threads);
      TestRows z = Activations(units.view, m, 1.0), u(m, 900, 6), y(m, 300, 7);
      SeriesDownProjection(units.view, z.view(), u.view(), theta.view(), y.view(), pool, false);
      results.push_back(y.memory());
    }
    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(results[0], results[2]);
  }
}

TEST_P(SeriesMlpTest, NoUnits) {
  ThreadPool pool(1);
  const SeriesUnits none;
  TestRows z(2, 0, 1), y(2, 4, 2);
  const TestRows old = y;
  const TestWeight theta(DType::kF32, 4, 0, 3);
  SeriesDownProjection(none, z.view(), {}, theta.view(), y.view(), pool, true);
  EXPECT_EQ(y.memory(), old.memory());
  SeriesDownProjection(none, z.view(), {}, theta.view(), y.view(), pool, false);
  EXPECT_THAT(y.view().row(0), ::testing::Each(0.0f));
}

}  // namespace
}  // namespace unswift
