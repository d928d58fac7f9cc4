#include "unswift/series/basis.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace unswift {
namespace {

constexpr int kOrders = 33;

std::vector<double> Values(const BasisRule& rule, double t) {
  std::vector<double> values(kOrders);
  BasisValues(rule, t, values);
  return values;
}

const BasisRule kChebyshevLinear{SeriesBasis::kChebyshev, SeriesGuard::kLinear};
const BasisRule kTaylorLinear{SeriesBasis::kTaylor, SeriesGuard::kLinear};

TEST(Basis, InsideTheInterval) {
  for (const double t : {-1.0, -0.83, -0.2, 0.0, 0.4, 0.99, 1.0}) {
    for (const SeriesGuard guard : {SeriesGuard::kLinear, SeriesGuard::kNone}) {
      const auto chebyshev = Values({SeriesBasis::kChebyshev, guard}, t);
      const auto taylor = Values({SeriesBasis::kTaylor, guard}, t);
      for (int n = 0; n < kOrders; ++n) {
        EXPECT_NEAR(chebyshev[n], std::cos(n * std::acos(t)), 1e-12) << t << " " << n;
        EXPECT_NEAR(taylor[n], std::pow(t, n), 1e-15) << t << " " << n;
      }
    }
  }
}

TEST(Basis, LinearGuardOutside) {
  for (const double t : {-7.5, -1.25, 1.5, 12.0}) {
    const auto chebyshev = Values(kChebyshevLinear, t), taylor = Values(kTaylorLinear, t);
    for (int n = 0; n < kOrders; ++n) {
      const double sign = t < 0 && n % 2 != 0 ? -1.0 : 1.0;
      EXPECT_DOUBLE_EQ(chebyshev[n], sign * (1.0 + n * n * (std::abs(t) - 1.0))) << t << " " << n;
      EXPECT_DOUBLE_EQ(taylor[n], sign * (1.0 + n * (std::abs(t) - 1.0))) << t << " " << n;
    }
  }
}

TEST(Basis, LinearGuardIsC1) {
  const double step = 1e-7;
  for (const BasisRule& rule : {kChebyshevLinear, kTaylorLinear}) {
    for (const double end : {-1.0, 1.0}) {
      const auto at = Values(rule, end), below = Values(rule, end - step);
      const auto above = Values(rule, end + step);
      for (int n = 0; n < kOrders; ++n) {
        const double left = (at[n] - below[n]) / step, right = (above[n] - at[n]) / step;
        // T_n'' is at most n^4 / 3: the one-sided quotients differ by that times the step.
        EXPECT_NEAR(left, right, std::pow(n, 4) * step + 1e-6) << end << " " << n;
      }
    }
  }
}

TEST(Basis, NoGuardIsThePolynomial) {
  const double t = 1.75;
  const auto chebyshev = Values({SeriesBasis::kChebyshev, SeriesGuard::kNone}, -t);
  const auto taylor = Values({SeriesBasis::kTaylor, SeriesGuard::kNone}, -t);
  for (int n = 0; n < kOrders; ++n) {
    const double sign = n % 2 != 0 ? -1.0 : 1.0;
    const double expected = std::cosh(n * std::acosh(t));
    EXPECT_NEAR(chebyshev[n], sign * expected, 1e-12 * expected);
    EXPECT_NEAR(taylor[n], sign * std::pow(t, n), 1e-14 * std::pow(t, n));
  }
}

TEST(Basis, TruncationDropsHighOrders) {
  const BasisRule rule{SeriesBasis::kTaylor, SeriesGuard::kTruncate, 2.5, 3};
  const auto inside = Values(rule, -2.5), outside = Values(rule, 2.5000001);
  for (int n = 0; n < kOrders; ++n) {
    EXPECT_NE(inside[n], 0.0);
    EXPECT_EQ(outside[n] == 0.0, n > 3);
  }
}

TEST(Basis, SeriesValueSums) {
  const std::vector<double> a = {1.0, -2.0, 0.5};
  EXPECT_DOUBLE_EQ(SeriesValue(kChebyshevLinear, a, 0.5), 1.0 - 1.0 + 0.5 * (2 * 0.25 - 1));
}

}  // namespace
}  // namespace unswift
