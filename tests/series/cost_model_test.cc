#include "unswift/series/cost_model.h"

#include <gtest/gtest.h>

#include <cmath>

namespace unswift {
namespace {

// Llama-3-8B in bf16: 32 layers, 4096 x 14336, 7.5e9 weights read per token (embedding not
// counted).
ModelCost Llama8B() {
  const double parameters = 8.03e9 - 128256.0 * 4096;
  ModelCost cost;
  cost.layers.assign(32, LayerCost{4096, 14336, 14336, 0, 2.0, 2.0});
  cost.other_bytes = 2.0 * (parameters - 32.0 * 4096 * 14336);
  return cost;
}

TEST(CostModel, CountsBytes) {
  ModelCost cost;
  cost.layers = {
      {10, 100, 60, 0, 2.0, 4.0}, {10, 100, 0, 0, 2.0, 2.0}, {10, 100, 100, 1, 2.0, 2.0}};
  cost.other_bytes = 500.0;
  EXPECT_EQ(PlainBytesPerToken(cost), 500 + 3 * 2000);
  const int64_t sums[] = {120, 0, 300};
  const double first = 10 * 40 * 2 + 10 * (120 + 60) * 4 + 8 * 60;
  const double last = 10 * 300 * 2 + 8 * 100;  // order 0 lives in the bias
  EXPECT_EQ(ProtectedBytesPerToken(cost, sums), 500 + first + 2000 + last);
  EXPECT_DOUBLE_EQ(PredictedSlowdown(cost, sums), (500 + first + 2000 + last) / 6500);
}

TEST(CostModel, MeanOrderIsTheSumPerUnit) {
  const ModelCost cost = Llama8B();
  const std::vector<int64_t> sums(32, 14336 * 8);
  EXPECT_DOUBLE_EQ(PredictedSlowdown(cost, 8.0), PredictedSlowdown(cost, sums));
}

TEST(CostModel, PaperSizes) {
  // 10,000 of 14,336 units at order 8 read 2.4 times the bytes, not 4.
  ModelCost cost = Llama8B();
  for (LayerCost& layer : cost.layers) layer.protected_units = 10000;
  EXPECT_NEAR(PredictedSlowdown(cost, 6.0), 2.05, 0.05);
  EXPECT_NEAR(PredictedSlowdown(cost, 8.0), 2.40, 0.05);
}

TEST(CostModel, SolvesForTheLeastMeanOrder) {
  const ModelCost cost = Llama8B();
  const double units = 32.0 * 14336;
  for (const double slowdown : {1.5, 2.0, 4.0, 7.0}) {
    const auto mean = MeanOrderForSlowdown(cost, slowdown);
    ASSERT_TRUE(mean) << mean.error().message;
    EXPECT_GE(PredictedSlowdown(cost, *mean), slowdown - 1e-12);
    EXPECT_LT(PredictedSlowdown(cost, *mean - 1.001 / units), slowdown);
    EXPECT_NEAR(*mean * units, std::round(*mean * units), 1e-3);
  }
}

TEST(CostModel, UnreachableSlowdownsNameTheRange) {
  const ModelCost cost = Llama8B();
  const double least = PredictedSlowdown(cost, 1.0), most = PredictedSlowdown(cost, 32.0);
  EXPECT_GT(least, 1.0);
  for (const double slowdown : {0.5, 1.0, least * 0.999, most * 1.001, 1000.0}) {
    const auto mean = MeanOrderForSlowdown(cost, slowdown);
    ASSERT_FALSE(mean);
    EXPECT_EQ(mean.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(mean.error().message.find(fmt::format("{:.3f} to {:.3f}", least, most)),
              std::string::npos)
        << mean.error().message;
  }
  EXPECT_TRUE(MeanOrderForSlowdown(cost, least));
  EXPECT_TRUE(MeanOrderForSlowdown(cost, most));
  EXPECT_FALSE(MeanOrderForSlowdown(cost, std::nan("")));
  EXPECT_FALSE(MeanOrderForSlowdown(ModelCost{}, 2.0));
}

}  // namespace
}  // namespace unswift
