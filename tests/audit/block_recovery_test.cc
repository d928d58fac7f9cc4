// Each block attack on layers of known weights.
#include "unswift/audit/block_recovery.h"

#include <gtest/gtest.h>

#include "tests/audit/synthetic_layer.h"
#include "unswift/audit/attack.h"

namespace unswift {
namespace {

struct Score {
  double largest = 0.0;  ///< relative error of a column
  double exact = 0.0;    ///< share of entries
  double on_grid = 0.0;  ///< share of units
};

/// Runs one attack over a layer and compares with the weights it was made of.
Score Measure(const SyntheticLayer& layer, const Attack& attack) {
  const LayerFacts facts = layer.facts();
  ThetaReader reader(layer.series());
  BlockRecovery recovery(facts);
  Score score;
  const int64_t units = layer.series().protected_units(), rows = layer.series().theta.rows;
  for (const ThetaBlock& block : reader.Read(0)) {
    recovery.Start(block);
    UnitOutcome outcome[kAuditLanes];
    const std::span<const float> w = attack.block(recovery, std::span(outcome));
    for (int lane = 0; lane < block.num_units; ++lane) {
      const int64_t unit = block.first_unit + lane;
      double cross = 0.0, square = 0.0, truth = 0.0, difference = 0.0;
      for (int64_t i = 0; i < rows; ++i) {
        const double got = w[i * kAuditLanes + lane], want = layer.weight(i, unit);
        cross += got * want, square += got * got, truth += want * want;
        score.exact += got == want ? 1.0 / static_cast<double>(rows * units) : 0.0;
      }
      const double scale = attack.scale_free ? cross / square : 1.0;
      for (int64_t i = 0; i < rows; ++i) {
        const double rest = scale * w[i * kAuditLanes + lane] - layer.weight(i, unit);
        difference += rest * rest;
      }
      score.largest = std::max(score.largest, std::sqrt(difference / truth));
      score.on_grid += outcome[lane].on_grid ? 1.0 / static_cast<double>(units) : 0.0;
      EXPECT_EQ(recovery.unit(lane).fit.sign, layer.sign(unit)) << unit;
    }
  }
  return score;
}

SyntheticOptions Options(DType theta, bool carry) {
  SyntheticOptions options;
  options.theta_dtype = theta;
  options.carry = carry;
  return options;
}

TEST(BlockRecovery, Float32ThetaGivesEverything) {
  for (SeriesBasis basis : {SeriesBasis::kChebyshev, SeriesBasis::kTaylor}) {
    SyntheticOptions options = Options(DType::kF32, false);
    options.basis = basis;
    const SyntheticLayer layer(options);
    EXPECT_LT(Measure(layer, kRank1).largest, 1e-6);
    // The scale comes from the fit, whose weights the recipient does not know.
    EXPECT_LT(Measure(layer, kLeastSquares).largest, 1e-2);
    EXPECT_LT(Measure(layer, kDirect).largest, 1e-2);
    EXPECT_NEAR(Measure(layer, kConsistentRounding).exact, 1.0, 1e-9);
  }
}

TEST(BlockRecovery, RoundedThetaGivesExactWeights) {
  struct Case {
    DType theta;
    bool carry;
    double least_exact, largest_rank1;
  };
  for (const Case& c :
       {Case{DType::kF16, true, 0.999, 1e-3}, Case{DType::kF16, false, 0.999, 1e-3},
        Case{DType::kBF16, true, 0.99, 5e-3}, Case{DType::kBF16, false, 0.999, 5e-3}}) {
    SCOPED_TRACE(std::string(DTypeName(c.theta)) + (c.carry ? " carry" : " nearest"));
    const SyntheticLayer layer(Options(c.theta, c.carry));
    EXPECT_LT(Measure(layer, kRank1).largest, c.largest_rank1);
    EXPECT_LT(Measure(layer, kDirect).largest, 1e-2);
    const Score score = Measure(layer, kConsistentRounding);
    EXPECT_GE(score.exact, c.least_exact);
    EXPECT_NEAR(score.on_grid, 1.0, 1e-9);
  }
}

TEST(BlockRecovery, LowOrdersToo) {
  SyntheticOptions options = Options(DType::kBF16, true);
  options.highest_order = 6;
  options.lowest_order = 2;
  const SyntheticLayer layer(options);
  const Score score = Measure(layer, kConsistentRounding);
  // Not all: some entries of low orders lie between two neighbours of the grid.
  EXPECT_GE(score.exact, 0.97);
}

TEST(BlockRecovery, OrdersThatCancel) {
  // Together the orders of such a Taylor series say little; the lowest alone, and that all must
  // agree, says everything.
  SyntheticOptions options = Options(DType::kBF16, true);
  options.basis = SeriesBasis::kTaylor;
  options.rows = 576;
  options.highest_order = 30;
  options.lowest_order = 14;
  const SyntheticLayer layer(options);
  const Score score = Measure(layer, kConsistentRounding);
  EXPECT_GE(score.exact, 0.999);
  EXPECT_LT(score.largest, 2e-3);
}

TEST(BlockRecovery, WithoutAGridTheFitGivesTheScale) {
  SyntheticOptions options = Options(DType::kF32, false);
  options.weight_dtype = DType::kF32;
  const SyntheticLayer layer(options);
  const Score score = Measure(layer, kConsistentRounding);
  EXPECT_LT(score.largest, 1e-2);
  EXPECT_EQ(score.on_grid, 0.0);
}

TEST(BlockRecovery, QuantisedTheta) {
  const SyntheticLayer q8(Options(DType::kQ8_0, false)), q4(Options(DType::kQ4_0, false));
  EXPECT_LT(Measure(q8, kQuantized).largest, 1e-2);
  EXPECT_LT(Measure(q4, kQuantized).largest, 1.5e-1);
  // Weighting by what each order misses beats the metric that knows nothing of the blocks.
  EXPECT_LT(Measure(q4, kQuantized).largest, Measure(q4, kRank1).largest);
}

TEST(BlockRecovery, PlainMlpGivesBiasAndConstantToo) {
  SyntheticOptions options = Options(DType::kF16, true);
  options.plain = true;
  options.highest_order = 18;
  options.lowest_order = 12;
  const SyntheticLayer layer(options);
  EXPECT_GE(Measure(layer, kConsistentRounding).exact, 0.999);
  const LayerFacts facts = layer.facts();
  ThetaReader reader(layer.series());
  BlockRecovery recovery(facts);
  for (const ThetaBlock& block : reader.Read(0)) {
    recovery.Start(block);
    for (int lane = 0; lane < block.num_units; ++lane) {
      const FunctionFit& fit = recovery.unit(lane).fit;
      EXPECT_NEAR(fit.bias, layer.bias(block.first_unit + lane), 1e-2);
      EXPECT_NEAR(fit.constant, layer.constant(block.first_unit + lane), 1e-2);
    }
  }
}

TEST(BlockRecovery, NothingIsFoundInNoise) {
  // Theta of random numbers: no grid, and no function that fits.
  SyntheticOptions options = Options(DType::kF32, false);
  const SyntheticLayer layer(options);
  SeriesWeights series = layer.series();
  Random random(9);
  std::vector<float> noise(series.theta.rows * series.theta.cols);
  for (float& v : noise) v = static_cast<float>(random.NextNormal());
  series.theta.data = reinterpret_cast<const std::byte*>(noise.data());
  LayerFacts facts = layer.facts();
  facts.series = &series;
  ThetaReader reader(series);
  BlockRecovery recovery(facts);
  UnitOutcome outcome[kAuditLanes];
  const ThetaBlock& block = reader.Read(0).front();
  recovery.Start(block);
  recovery.ConsistentRounding(std::span(outcome));
  for (int lane = 0; lane < block.num_units; ++lane) {
    EXPECT_GT(recovery.unit(lane).rank1_residual, 0.3);
    EXPECT_FALSE(outcome[lane].on_grid) << outcome[lane].grid_score;
  }
}

TEST(BlockRecovery, DeadUnitsStayZero) {
  const SyntheticLayer layer(Options(DType::kF32, false));
  SeriesWeights series = layer.series();
  const std::vector<float> zeros(series.theta.rows * series.theta.cols, 0.0f);
  series.theta.data = reinterpret_cast<const std::byte*>(zeros.data());
  LayerFacts facts = layer.facts();
  facts.series = &series;
  ThetaReader reader(series);
  BlockRecovery recovery(facts);
  UnitOutcome outcome[kAuditLanes];
  recovery.Start(reader.Read(0).front());
  for (float w : recovery.ConsistentRounding(std::span(outcome))) EXPECT_EQ(w, 0.0f);
  EXPECT_TRUE(recovery.unit(0).dead);
}

TEST(Attacks, NamesAreKnown) {
  EXPECT_EQ(AllAttacks().size(), 9u);
  EXPECT_EQ(ParseAttacks("rank1,direct").value().front(), &kRank1);
  const auto unknown = ParseAttacks("direct,rank2");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_NE(unknown.error().message.find("did you mean 'rank1'"), std::string::npos)
      << unknown.error().message;
}

}  // namespace
}  // namespace unswift
