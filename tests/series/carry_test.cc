#include "unswift/series/carry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/series/golden_units.h"
#include "tests/testing/test_data.h"
#include "unswift/base/random.h"
#include "unswift/series/basis.h"

namespace unswift {
namespace {

constexpr const char* kLayers[] = {"layer5.json", "layer28.json"};
const BasisRule kRule{SeriesBasis::kChebyshev, SeriesGuard::kLinear};

nlohmann::json ReadGolden(const char* name) {
  return ReadJsonFile(TestDataDir() / "goldens/series" / name);
}

struct Units {
  LayerStatistics statistics;
  SeriesFit fit;
  SeriesCarry carry;

  Units(LayerStatistics s, int order) : statistics(std::move(s)) {
    ThreadPool pool(1);
    UnitSelection selection;
    for (int64_t j = 0; j < statistics.num_units; ++j) selection.units.push_back(j);
    selection.orders.assign(statistics.num_units, order);
    fit = FitCoefficients(statistics, {}, selection, {}, pool).value();
    carry = MakeCarry(statistics, {}, fit, {}, pool).value();
  }
};

// Mean square over the unit's weighted bins of the polynomial that is left when `target` is taken
// from `theta`.
double MeanSquare(const Units& units, int64_t j, const std::vector<double>& difference) {
  const WeightedBins bins = WidenedHistogram(units.statistics, j, 0.0);
  double sum = 0.0, mass = 0.0;
  for (size_t i = 0; i < bins.centre.size(); ++i) {
    const double t = (bins.centre[i] - units.fit.centre[j]) * units.fit.inv_radius[j];
    const double value = SeriesValue(kRule, difference, t);
    sum += bins.weight[i] * value * value;
    mass += bins.weight[i];
  }
  return sum / mass;
}

TEST(Carry, MatricesAgreeWithTheGoldens) {
  UNSWIFT_NEEDS_DATA("goldens/series");
  for (const char* layer : kLayers) {
    const auto golden = ReadGolden(layer);
    const Units units(GoldenStatistics(golden), 4);
    for (int j = 0; j < 4; ++j) {
      for (int n = 0; n < 4; ++n) {
        for (int k = n + 1; k <= 4; ++k) {
          EXPECT_NEAR(units.carry.at(j, n, k), golden["fits"][0]["carry"][j][n][k].get<double>(),
                      1e-6)
              << layer << " unit " << j << " U[" << n << ", " << k << "]";
        }
      }
    }
  }
}

// Rounds the golden rows with the lanes along one unit's rows (q8_0 blocks run along them) and
// compares polynomials: where a value lies at a tie, the entry and those after it may differ.
struct Agreement {
  double equal = 0.0;     ///< share of entries that are the same number
  double difference = 0;  ///< norm of (ours - golden), relative to what the golden rounding lost
  double lost = 0.0;      ///< norm of what our rounding lost, relative to the golden's
};

Agreement CompareRounding(const nlohmann::json& golden, size_t fit_index, const char* type,
                          DType dtype) {
  const auto& item = golden["fits"][fit_index];
  const int order = item["order"];
  const Units units(GoldenStatistics(golden), order);
  double equal = 0.0, entries = 0.0, difference = 0.0, lost = 0.0, golden_lost = 0.0;
  for (int64_t j = 0; j < 4; ++j) {
    std::vector<float> down;
    for (const auto& row : golden["down_proj_rows_0_23"]) down.push_back(row[j].get<float>());
    const std::vector<int64_t> lanes(down.size(), j);
    const auto theta = RoundLanes(units.fit, &units.carry, down, lanes, 0, RoundToDType(dtype));
    for (size_t row = 0; row < down.size(); ++row) {
      std::vector<double> from_golden, ours, theirs;
      for (int n = 0; n <= order; ++n) {
        const double expected = item["rounded"][type][n][row][j];
        const double exact = down[row] * units.fit.unit(j)[n];
        equal += theta[n][row] == expected;
        entries += 1.0;
        from_golden.push_back(theta[n][row] - expected);
        ours.push_back(theta[n][row] - exact);
        theirs.push_back(expected - exact);
      }
      difference += MeanSquare(units, j, from_golden);
      lost += MeanSquare(units, j, ours);
      golden_lost += MeanSquare(units, j, theirs);
    }
  }
  return {equal / entries, std::sqrt(difference / golden_lost), std::sqrt(lost / golden_lost)};
}

TEST(Carry, Bf16AgreesWithTheGoldens) {
  UNSWIFT_NEEDS_DATA("goldens/series");
  for (const char* layer : kLayers) {
    for (const size_t fit : {0, 2}) {  // orders 4 and 12
      const Agreement agreement = CompareRounding(ReadGolden(layer), fit, "bf16", DType::kBF16);
      EXPECT_GT(agreement.equal, 0.98) << layer << " " << fit;
      EXPECT_LT(agreement.difference, 0.1) << layer << " " << fit;
      EXPECT_NEAR(agreement.lost, 1.0, 0.02) << layer << " " << fit;
    }
  }
}

// Steps are larger and a changed value may change the scale of 24, so more entries differ; what the
// rounding loses in all must not.
TEST(Carry, Q8AlongOutputsAgreesWithTheGoldens) {
  UNSWIFT_NEEDS_DATA("goldens/series");
  for (const char* layer : kLayers) {
    const Agreement low = CompareRounding(ReadGolden(layer), 0, "q8_out", DType::kQ8_0);
    EXPECT_GT(low.equal, 0.95) << layer;
    EXPECT_LT(low.difference, 0.05) << layer;
    const Agreement high = CompareRounding(ReadGolden(layer), 2, "q8_out", DType::kQ8_0);
    EXPECT_GT(high.equal, 0.75) << layer;
    EXPECT_LT(high.difference, 0.7) << layer;
    EXPECT_NEAR(high.lost, 1.0, 0.1) << layer;
  }
}

// How much less carry rounding loses than plain rounding at order 12, as a factor of norms, per
// unit.
std::vector<double> Gains(const LayerStatistics& statistics, DType dtype, bool along_units) {
  const Units units(statistics, 12);
  Random random(5);
  const int rows = 32;
  std::vector<double> lost[2] = {std::vector<double>(4), std::vector<double>(4)};
  for (int outer = 0; outer < (along_units ? rows : 4); ++outer) {
    std::vector<int64_t> lanes;
    std::vector<float> down;
    for (int inner = 0; inner < (along_units ? 32 : rows); ++inner) {
      lanes.push_back(along_units ? inner % 4 : outer);
      down.push_back(static_cast<float>(0.1 * random.NextNormal()));
    }
    for (const bool carried : {false, true}) {
      const auto theta = RoundLanes(units.fit, carried ? &units.carry : nullptr, down, lanes, 0,
                                    RoundToDType(dtype));
      for (size_t l = 0; l < lanes.size(); ++l) {
        std::vector<double> difference;
        for (int n = 0; n <= 12; ++n) {
          difference.push_back(theta[n][l] - down[l] * units.fit.unit(lanes[l])[n]);
        }
        lost[carried][lanes[l]] += MeanSquare(units, lanes[l], difference);
      }
    }
  }
  std::vector<double> gains;
  for (int j = 0; j < 4; ++j) gains.push_back(std::sqrt(lost[0][j] / lost[1][j]));
  return gains;
}

double GeometricMean(const std::vector<double>& values) {
  double sum = 0.0;
  for (const double value : values) sum += std::log(value);
  return std::exp(sum / static_cast<double>(values.size()));
}

TEST(Carry, BeatsPlainRounding) {
  UNSWIFT_NEEDS_DATA("goldens/series");
  for (const char* layer : kLayers) {
    const LayerStatistics s = GoldenStatistics(ReadGolden(layer));
    // Norms of the MLP's output fall by 10 and more, of which the fit itself hides a part there.
    for (const DType dtype : {DType::kBF16, DType::kF16}) {
      const std::vector<double> gains = Gains(s, dtype, true);
      EXPECT_GT(GeometricMean(gains), 12.0) << layer << " " << DTypeName(dtype);
      EXPECT_GT(*std::min_element(gains.begin(), gains.end()), 7.0) << layer;
    }
    // q8_0 scales are shared, so a unit beside others of another size gains less; along outputs the
    // unit with a range of 100 gains nothing.
    EXPECT_GT(GeometricMean(Gains(s, DType::kQ8_0, true)), 7.0) << layer;
    EXPECT_GT(GeometricMean(Gains(s, DType::kQ8_0, false)), 3.0) << layer;
  }
}

TEST(Carry, SameForAnyNumberOfThreads) {
  UNSWIFT_NEEDS_DATA("goldens/series");
  const Units units(GoldenStatistics(ReadGolden(kLayers[0])), 20);
  for (const int threads : {2, 3}) {
    ThreadPool pool(threads);
    EXPECT_EQ(MakeCarry(units.statistics, {}, units.fit, {}, pool)->packed, units.carry.packed);
  }
}

TEST(Carry, NeedsTheLinearGuard) {
  UNSWIFT_NEEDS_DATA("goldens/series");
  Units units(GoldenStatistics(ReadGolden(kLayers[0])), 4);
  units.fit.guard = SeriesGuard::kNone;
  ThreadPool pool(1);
  const auto carry = MakeCarry(units.statistics, {}, units.fit, {}, pool);
  ASSERT_FALSE(carry);
  EXPECT_EQ(carry.error().code, ErrorCode::kInvalidArgument);
}

// Rounding the flipped series gives the flipped theta of the same function.
TEST(Carry, FlippedSignsRoundAlike) {
  UNSWIFT_NEEDS_DATA("goldens/series");
  Units units(GoldenStatistics(ReadGolden(kLayers[1])), 7);
  const std::vector<float> down = {0.1f, -0.3f, 0.7f, 0.02f};
  const std::vector<int64_t> lanes = {0, 1, 2, 3};
  const auto round = RoundToDType(DType::kBF16);
  const auto before = RoundLanes(units.fit, &units.carry, down, lanes, 0, round);
  const std::vector<float> centre = units.fit.centre;
  const std::vector<int8_t> sign = {-1, 1, -1, -1};
  FlipSigns(units.fit, sign);
  FlipSigns(units.carry, sign);
  const auto after = RoundLanes(units.fit, &units.carry, down, lanes, 0, round);
  for (int j = 0; j < 4; ++j) {
    EXPECT_EQ(units.fit.centre[j], sign[j] * centre[j]);
    for (int n = 0; n <= 7; ++n) {
      EXPECT_EQ(after[n][j], (n % 2 != 0 ? sign[j] : 1) * before[n][j]) << j << " " << n;
    }
  }
}

// first_order 1: order 0 is a constant elsewhere, and nothing is handed on from it.
TEST(Carry, FirstOrderOneLeavesOrderZero) {
  UNSWIFT_NEEDS_DATA("goldens/series");
  const Units units(GoldenStatistics(ReadGolden(kLayers[1])), 3);
  const std::vector<float> down = {0.37f};
  const std::vector<int64_t> lanes = {2};
  const auto theta =
      RoundLanes(units.fit, &units.carry, down, lanes, 1, RoundToDType(DType::kBF16));
  EXPECT_EQ(theta[0][0], 0.0f);
  const float exact = static_cast<float>(down[0] * units.fit.unit(2)[1]);
  EXPECT_NEAR(theta[1][0], exact, std::abs(exact) / 256);
}

}  // namespace
}  // namespace unswift
