#include "unswift/series/fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/series/golden_units.h"
#include "tests/testing/test_data.h"
#include "unswift/ops/cpu/targets.h"
#include "unswift/series/basis.h"

namespace unswift {
namespace {

double LargestMagnitude(const std::vector<double>& values) {
  double largest = 0.0;
  for (const double value : values) largest = std::max(largest, std::abs(value));
  return largest;
}

class FitGolden : public testing::TestWithParam<const char*> {};

TEST_P(FitGolden, WidenedHistogramAndInterval) {
  UNSWIFT_NEEDS_DATA("goldens/series");
  const auto golden = ReadJsonFile(TestDataDir() / "goldens/series" / GetParam());
  const LayerStatistics s = GoldenStatistics(golden);
  for (int64_t j = 0; j < s.num_units; ++j) {
    const WeightedBins bins = WidenedHistogram(s, j, 0.0);
    const auto centre = golden["bin_centres"][j].get<std::vector<double>>();
    const auto histogram = golden["histogram"][j].get<std::vector<double>>();
    ASSERT_EQ(bins.centre.size(), centre.size());
    for (size_t i = 0; i < centre.size(); ++i) {
      EXPECT_NEAR(bins.centre[i], centre[i], 1e-12 * 60) << j << " " << i;
      EXPECT_NEAR(bins.weight[i], histogram[i], 1e-7 * histogram[i]);
    }
  }
}

TEST_P(FitGolden, ErrorsByOrder) {
  UNSWIFT_NEEDS_DATA("goldens/series");
  const auto golden = ReadJsonFile(TestDataDir() / "goldens/series" / GetParam());
  const LayerStatistics s = GoldenStatistics(golden);
  ThreadPool pool(1);
  const auto errors = ErrorsByOrder(s, FitOptions{}, {}, pool);
  ASSERT_TRUE(errors) << errors.error().message;
  for (int64_t j = 0; j < s.num_units; ++j) {
    const auto expected = golden["error_by_order"][j].get<std::vector<double>>();
    for (int n = 0; n <= 32; ++n) {
      // Where (3e-10)^2 of the function is left, rounding of the normal equations shows; and 51
      // bins in the interval of unit 678 make order 30 feel that the interval is float32.
      const double tolerance = 1e-5 * expected[n] + 1e-19 * expected[0];
      EXPECT_NEAR((*errors)[j * 33 + n], expected[n], tolerance) << j << " " << n;
    }
  }
}

TEST_P(FitGolden, Coefficients) {
  UNSWIFT_NEEDS_DATA("goldens/series");
  const auto golden = ReadJsonFile(TestDataDir() / "goldens/series" / GetParam());
  const LayerStatistics s = GoldenStatistics(golden);
  ThreadPool pool(1);
  for (const auto& item : golden["fits"]) {
    const int order = item["order"];
    const UnitSelection selection{{0, 1, 2, 3}, std::vector<int32_t>(4, order)};
    const auto fit = FitCoefficients(s, FitOptions{}, selection, {}, pool);
    ASSERT_TRUE(fit) << fit.error().message;
    for (int j = 0; j < 4; ++j) {
      EXPECT_NEAR(fit->centre[j], golden["centre"][j].get<double>(), 1e-6);
      EXPECT_NEAR(fit->inv_radius[j] * golden["radius"][j].get<double>(), 1.0, 1e-7);
      const auto expected = item["coefficients"][j].get<std::vector<double>>();
      const double largest = LargestMagnitude(expected);
      std::vector<double> difference;
      for (int n = 0; n <= order; ++n) difference.push_back(fit->unit(j)[n] - expected[n]);
      // 1e-7 of it is that the interval is float32, as run time has it.
      EXPECT_LE(LargestMagnitude(difference), 1e-6 * largest) << j << " " << order;
      const BasisRule rule{SeriesBasis::kChebyshev, SeriesGuard::kLinear};
      for (double t = -2.0; t <= 2.0; t += 0.01) {
        // On the continuation a coefficient counts n^2-fold.
        const double tolerance = (std::abs(t) <= 1.0 ? 1e-6 : 1e-5) * largest;
        EXPECT_LE(std::abs(SeriesValue(rule, difference, t)), tolerance) << j << " " << order;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Layers, FitGolden, testing::Values("layer5.json", "layer28.json"));

// Synthetic statistics: a bell of counts over [-spread, spread] + shift, unit by unit.
LayerStatistics Bells(const std::vector<double>& shift, const std::vector<double>& spread) {
  LayerStatistics s;
  s.num_units = static_cast<int64_t>(shift.size());
  s.num_tokens = 1000;
  s.mean.assign(s.num_units, 0.0);
  s.std = s.mean_u2 = s.mean;
  for (int64_t j = 0; j < s.num_units; ++j) {
    s.min.push_back(static_cast<float>(shift[j] - spread[j]));
    s.max.push_back(static_cast<float>(shift[j] + spread[j]));
    s.bin_begin.push_back(s.min[j] - 0.2 * spread[j]);
    s.bin_end.push_back(s.max[j] + 0.2 * spread[j]);
    for (int b = 0; b < kHistogramBins; ++b) {
      const double x = (b + 0.5) / kHistogramBins * 2.4 - 1.2;
      s.histogram.push_back(std::abs(x) < 1 ? static_cast<float>(std::exp(-8 * x * x)) : 0.0f);
    }
  }
  return s;
}

struct Fitted {
  std::vector<double> errors;
  SeriesFit fit;
};

Fitted Fit(const LayerStatistics& s, const FitOptions& options, int order,
           const std::vector<double>& bias = {}, int threads = 1) {
  ThreadPool pool(threads);
  std::vector<int64_t> units;
  for (int64_t j = 0; j < s.num_units; ++j) units.push_back(j);
  const std::vector<int32_t> orders(units.size(), order);
  return {ErrorsByOrder(s, options, bias, pool).value(),
          FitCoefficients(s, options, SortByOrder(units, orders), bias, pool).value()};
}

// The weighted squared error of a unit's polynomial, from its definition.
double ErrorOfFit(const LayerStatistics& s, const FitOptions& options, const SeriesFit& fit,
                  int64_t j, double bias = 0.0) {
  const WeightedBins bins = WidenedHistogram(s, j, bias);
  double mass = 0.0, error = 0.0;
  for (const double w : bins.weight) mass += w;
  for (size_t i = 0; i < bins.centre.size(); ++i) {
    const double weight = bins.weight[i] + options.uniform_share * mass / bins.centre.size();
    const double t = (bins.centre[i] - bias - fit.centre[j]) * fit.inv_radius[j];
    const double value = SeriesValue({fit.basis, fit.guard}, fit.unit(j), t);
    const double miss = value - ActivationValue(options.activation, bins.centre[i]);
    error += weight * miss * miss;
  }
  return error;
}

const LayerStatistics& SomeUnits() {
  static const LayerStatistics s =
      Bells({0, -1, 2, 0.5, -3, 8, -20, 0, 1, 4, -6}, {0.5, 2, 3, 6, 9, 12, 15, 30, 1, 5, 7});
  return s;
}

TEST(Fit, ErrorsAreThoseOfTheCoefficients) {
  for (const Activation activation :
       {Activation::kSilu, Activation::kGeluErf, Activation::kGeluTanh}) {
    for (const SeriesBasis basis : {SeriesBasis::kChebyshev, SeriesBasis::kTaylor}) {
      FitOptions options;
      options.activation = activation;
      options.basis = basis;
      for (const int order : {1, 5, 10}) {
        const Fitted fitted = Fit(SomeUnits(), options, order);
        for (int64_t j = 0; j < SomeUnits().num_units; ++j) {
          const double expected = ErrorOfFit(SomeUnits(), options, fitted.fit, j);
          EXPECT_NEAR(fitted.errors[j * 33 + order], expected, 1e-7 * expected)
              << j << " " << order;
        }
      }
    }
  }
}

// No change of one coefficient makes a least-squares fit better.
TEST(Fit, IsAMinimum) {
  const FitOptions options;
  Fitted fitted = Fit(SomeUnits(), options, 8);
  for (int64_t j = 0; j < SomeUnits().num_units; ++j) {
    const double best = ErrorOfFit(SomeUnits(), options, fitted.fit, j);
    for (int n = 0; n <= 8; ++n) {
      for (const double step : {-1e-3, 1e-3}) {
        fitted.fit.unit(j)[n] += step;
        EXPECT_GT(ErrorOfFit(SomeUnits(), options, fitted.fit, j), best) << j << " " << n;
        fitted.fit.unit(j)[n] -= step;
      }
    }
  }
}

TEST(Fit, BothBasesSpanTheSamePolynomials) {
  FitOptions options;
  const Fitted chebyshev = Fit(SomeUnits(), options, 6);
  options.basis = SeriesBasis::kTaylor;
  const Fitted taylor = Fit(SomeUnits(), options, 6);
  // Continuations differ, so only where all counts are inside the interval.
  for (const int64_t j : {0, 1, 2, 8}) {
    for (int n = 0; n <= 6; ++n) {
      const double expected = chebyshev.errors[j * 33 + n];
      EXPECT_NEAR(taylor.errors[j * 33 + n], expected, 0.02 * expected) << j << " " << n;
    }
  }
}

TEST(Fit, ErrorsNeverGrow) {
  const Fitted fitted = Fit(SomeUnits(), {}, 32);
  for (int64_t j = 0; j < SomeUnits().num_units; ++j) {
    for (int n = 1; n <= 32; ++n) {
      EXPECT_LE(fitted.errors[j * 33 + n], fitted.errors[j * 33 + n - 1] * (1 + 1e-12))
          << j << " " << n;
    }
  }
}

// phi(z + b) over z is phi(x) over x = z + b.
TEST(Fit, BiasShiftsTheVariable) {
  const std::vector<double> bias = {0.25, -1.5};
  const LayerStatistics of_z = Bells({1.0, -2.0}, {2.0, 6.0});
  const LayerStatistics of_x = Bells({1.25, -3.5}, {2.0, 6.0});
  const Fitted z = Fit(of_z, {}, 9, bias), x = Fit(of_x, {}, 9);
  for (int64_t j = 0; j < 2; ++j) {
    EXPECT_NEAR(z.fit.centre[j] + bias[j], x.fit.centre[j], 1e-6);
    for (int n = 0; n <= 9; ++n) EXPECT_NEAR(z.fit.unit(j)[n], x.fit.unit(j)[n], 1e-6);
    EXPECT_NEAR(z.errors[j * 33 + 9], ErrorOfFit(of_z, {}, z.fit, j, bias[j]),
                1e-6 * z.errors[j * 33 + 9]);
  }
}

// A unit with a range of thousands has few bins or none inside the interval: the polynomial must
// follow phi between them all the same.
TEST(Fit, WideRangesDoNotOscillate) {
  const LayerStatistics s = Bells({0, 100, 0, 0}, {60, 300, 5000, 1e6});
  for (const int order : {8, 20, 32}) {
    const Fitted fitted = Fit(s, {}, order);
    for (int64_t j = 0; j < s.num_units; ++j) {
      for (double x = -10.0; x <= 10.0; x += 0.01) {
        const double t = (x - fitted.fit.centre[j]) * fitted.fit.inv_radius[j];
        const double value =
            SeriesValue({SeriesBasis::kChebyshev, SeriesGuard::kLinear}, fitted.fit.unit(j), t);
        ASSERT_NEAR(value, ActivationValue(Activation::kSilu, x), 1.0) << j << " x " << x;
      }
    }
  }
}

TEST(Fit, AUnitThatNeverMattersStillFollowsTheActivation) {
  LayerStatistics s = Bells({0.0}, {2.0});
  std::fill(s.histogram.begin(), s.histogram.end(), 0.0f);
  const Fitted fitted = Fit(s, {}, 16);
  EXPECT_EQ(fitted.errors[3], 0.0);
  EXPECT_NEAR(SeriesValue({SeriesBasis::kChebyshev, SeriesGuard::kLinear}, fitted.fit.unit(0), 0.4),
              ActivationValue(Activation::kSilu, 2.0), 1e-3);
}

TEST(Fit, SameForAnyNumberOfThreads) {
  const Fitted one = Fit(SomeUnits(), {}, 17);
  for (const int threads : {2, 3}) {
    const Fitted other = Fit(SomeUnits(), {}, 17, {}, threads);
    EXPECT_EQ(one.errors, other.errors);
    EXPECT_EQ(one.fit.coefficients, other.fit.coefficients);
  }
}

TEST(Fit, EveryInstructionSetAgrees) {
  const Fitted best = Fit(SomeUnits(), {}, 12);
  for (const int64_t target : KernelTargets()) {
    ForceKernelTarget(target);
    const Fitted other = Fit(SomeUnits(), {}, 12);
    ForceKernelTarget(0);
    for (size_t i = 0; i < best.fit.coefficients.size(); ++i) {
      EXPECT_NEAR(other.fit.coefficients[i], best.fit.coefficients[i], 1e-9)
          << KernelTargetName(target);
    }
  }
}

TEST(Fit, MixedOrdersKeepTheirUnits) {
  const FitOptions options;
  ThreadPool pool(1);
  const std::vector<int64_t> units = {9, 3, 5, 0};
  const std::vector<int32_t> orders = {4, 16, 4, 1};
  const UnitSelection selection = SortByOrder(units, orders);
  EXPECT_EQ(selection.units, (std::vector<int64_t>{3, 5, 9, 0}));
  EXPECT_EQ(selection.orders, (std::vector<int32_t>{16, 4, 4, 1}));
  const SeriesFit fit = FitCoefficients(SomeUnits(), options, selection, {}, pool).value();
  for (int64_t i = 0; i < 4; ++i) {
    const Fitted alone = Fit(SomeUnits(), options, fit.orders[i]);
    ASSERT_EQ(static_cast<int>(fit.unit(i).size()), fit.orders[i] + 1);
    for (int n = 0; n <= fit.orders[i]; ++n) {
      EXPECT_NEAR(fit.unit(i)[n], alone.fit.unit(fit.units[i])[n], 1e-12) << i << " " << n;
    }
  }
}

TEST(Fit, RefusesBadInput) {
  ThreadPool pool(1);
  FitOptions options;
  options.layer_idx = 4;
  LayerStatistics s = SomeUnits();
  s.histogram[6 * kHistogramBins + 3] = std::nanf("");
  const auto errors = ErrorsByOrder(s, options, {}, pool);
  ASSERT_FALSE(errors);
  EXPECT_THAT(errors.error().message, testing::HasSubstr("layer 4 unit 6"));
  std::vector<double> bias(SomeUnits().num_units, 0.0);
  bias[2] = std::nan("");
  const auto biased = FitCoefficients(SomeUnits(), options, {{0}, {3}}, bias, pool);
  ASSERT_FALSE(biased);
  EXPECT_THAT(biased.error().message, testing::HasSubstr("layer 4 unit 2"));
  options.guard = SeriesGuard::kTruncate;
  EXPECT_FALSE(ErrorsByOrder(SomeUnits(), options, {}, pool));
}

}  // namespace
}  // namespace unswift
