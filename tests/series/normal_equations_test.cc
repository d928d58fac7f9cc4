#include "unswift/series/normal_equations.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "unswift/ops/cpu/targets.h"

namespace unswift {
namespace {

class NormalEquationsTargets : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { ForceKernelTarget(GetParam()); }
  void TearDown() override { ForceKernelTarget(0); }
};

/// Bins of equal weight over [-reach, reach]; what lies beyond [-1, 1] becomes rows of the ends.
SampleRows RowsOf(int num_bins, double reach) {
  WeightedBins bins;
  for (int i = 0; i < num_bins; ++i) {
    bins.centre.push_back(8.0 * reach * ((2.0 * i + 1.0) / num_bins - 1.0));
    bins.weight.push_back((1.0 + std::cos(i)) / num_bins + 0.01);
  }
  SampleRows rows;
  MakeSampleRows(bins, {Activation::kSilu, SeriesGuard::kLinear, 0.0, 0.0, 1.0 / 8.0}, true, rows);
  return rows;
}

using Column = std::vector<long double>;

long double Product(const Column& a, const Column& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0L);
}

/// Residuals by Gram and Schmidt's method with every direction taken out twice, in long double.
std::vector<double> ExpectedResiduals(const SampleRows& rows, int order) {
  std::vector<Column> directions;
  Column left(rows.rhs.begin(), rows.rhs.end());
  std::vector<double> residuals;
  for (int n = 0; n <= order; ++n) {
    Column column;
    for (size_t i = 0; i < rows.size(); ++i) {
      const long double value = std::cos(n * std::acos(static_cast<long double>(rows.position[i])));
      column.push_back(value * (rows.alpha[i] + static_cast<long double>(n * n) * rows.beta[i]));
    }
    const auto take_out = [](const Column& direction, Column& from) {
      const long double part = Product(direction, from);
      for (size_t i = 0; i < from.size(); ++i) from[i] -= part * direction[i];
    };
    for (int pass = 0; pass < 2; ++pass) {
      for (const Column& direction : directions) take_out(direction, column);
    }
    const long double norm = std::sqrt(Product(column, column));
    for (long double& value : column) value /= norm;
    directions.push_back(std::move(column));
    take_out(directions.back(), left);
    residuals.push_back(static_cast<double>(Product(left, left)));
  }
  return residuals;
}

TEST_P(NormalEquationsTargets, FindTheErrorsOfAllOrders) {
  for (const double reach : {1.0, 1.05}) {
    for (const int order : {0, 1, 2, 9, 32}) {
      const SampleRows rows = RowsOf(301, reach);
      const std::vector<double> expected = ExpectedResiduals(rows, order);
      NormalEquations equations;
      ASSERT_TRUE(equations.Solve(rows, order)) << reach << " " << order;
      for (int n = 0; n <= order; ++n) {
        const double tolerance = 1e-6 * expected[n] + 1e-19 * expected[0];
        EXPECT_NEAR(equations.residual(n), expected[n], tolerance) << n << " of " << order;
      }
    }
  }
}

TEST_P(NormalEquationsTargets, RefuseWhatWouldCancel) {
  NormalEquations equations;
  EXPECT_FALSE(equations.Solve(RowsOf(20, 1.0), 32));   // fewer rows than columns
  EXPECT_FALSE(equations.Solve(RowsOf(40, 1.0), 32));   // a polynomial free between the rows
  EXPECT_FALSE(equations.Solve(RowsOf(301, 1.5), 32));  // a third of the mass beyond the interval
  EXPECT_TRUE(equations.Solve(RowsOf(40, 1.0), 8));
}

INSTANTIATE_TEST_SUITE_P(PerIsa, NormalEquationsTargets, testing::ValuesIn(KernelTargets()),
                         [](const auto& info) { return KernelTargetName(info.param); });

}  // namespace
}  // namespace unswift
