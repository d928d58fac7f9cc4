// Coefficients from the mantissas of their products alone.
#include "unswift/audit/mantissa_evidence.h"

#include <gtest/gtest.h>

#include <bit>

#include "unswift/audit/lowest_order.h"
#include "unswift/base/random.h"
#include "unswift/tensor/convert.h"

namespace unswift {
namespace {

constexpr int64_t kRows = 576;

std::vector<float> Rounded(DType dtype, std::vector<float> values) {
  std::vector<std::byte> stored(values.size() * BlockBytes(dtype));
  RowFromF32(dtype, values, stored.data());
  RowToF32(dtype, stored.data(), values);
  return values;
}

std::vector<float> Weights(uint64_t seed) {
  Random random(seed);
  std::vector<float> w(kRows);
  for (float& value : w) value = static_cast<float>(0.05 * random.NextNormal());
  return Rounded(DType::kBF16, w);
}

std::vector<float> Products(DType theta, double c, const std::vector<float>& w) {
  std::vector<float> products;
  for (float value : w) products.push_back(static_cast<float>(c * value));
  return Rounded(theta, products);
}

/// The neighbour in bf16 away from zero.
float NextOut(float w) { return std::bit_cast<float>(std::bit_cast<uint32_t>(w) + 0x10000u); }

TEST(MantissaEvidence, FindsTheCoefficientOfAFarGuess) {
  for (DType dtype : {DType::kBF16, DType::kF16, DType::kF32}) {
    const MantissaEvidence* evidence = MantissaEvidence::For(dtype, DType::kBF16);
    ASSERT_NE(evidence, nullptr);
    uint64_t seed = 1;
    for (double c : {-0.37, 0.61, 1.3, 1.7, -2.9}) {
      SCOPED_TRACE(c);
      const std::vector<float> theta = Products(dtype, c, Weights(++seed));
      const auto found = evidence->Estimate(theta, 1, {1.06 * c, 0.05});
      ASSERT_FALSE(found.empty());
      EXPECT_TRUE(found[0].plausible || dtype != DType::kBF16);
      EXPECT_NEAR(found[0].coefficient / c, 1.0, 3e-4);
    }
  }
}

TEST(MantissaEvidence, SaysWhenItCannotTell) {
  // Products by 1.02 look almost like the weights themselves.
  const MantissaEvidence* evidence = MantissaEvidence::For(DType::kBF16, DType::kBF16);
  const double c = 1.02;
  const auto found = evidence->Estimate(Products(DType::kBF16, c, Weights(3)), 1, {1.03 * c, 0.05});
  EXPECT_GT(found.size(), 1u);
  EXPECT_LE(found.size(), size_t{4});
}

TEST(MantissaEvidence, NumbersThatAreNoProductsAreImplausible) {
  const MantissaEvidence* evidence = MantissaEvidence::For(DType::kF16, DType::kBF16);
  Random random(4);
  std::vector<float> theta(4 * kRows);
  for (float& value : theta) value = static_cast<float>(random.NextNormal());
  for (const auto& found : evidence->Estimate(Rounded(DType::kF16, theta), 1, {1.0, 0.05})) {
    EXPECT_FALSE(found.plausible);
  }
}

TEST(MantissaEvidence, OtherTypesHaveNone) {
  EXPECT_EQ(MantissaEvidence::For(DType::kQ8_0, DType::kBF16), nullptr);
  EXPECT_EQ(MantissaEvidence::For(DType::kBF16, DType::kF32), nullptr);
}

TEST(LowestOrder, SharpensTheCoefficientAndMendsNeighbours) {
  const double c = 1.3;
  const std::vector<float> w = Weights(5), theta = Products(DType::kF16, c, w);
  std::vector<float> values(kRows * kAuditLanes, 0.0f), snapped(kRows * kAuditLanes, 1.0f);
  for (int64_t i = 0; i < kRows; ++i) {
    values[i * kAuditLanes] = theta[i];
    // Every tenth weight starts one step too far out.
    snapped[i * kAuditLanes] = i % 10 == 0 ? NextOut(w[i]) : w[i];
  }
  const std::vector<float> estimate = snapped;
  const ThetaBlock block{0, 1, 0, 1, kRows, values.data()};
  LaneDoubles coefficient = {c * (1.0 + 9e-5)};
  SharpenLowestOrder(block, 10, snapped.data(), coefficient);
  EXPECT_NEAR(coefficient[0] / c, 1.0, 3e-6);
  KeepLowestOrder(block, 10, 7, coefficient, estimate.data(), snapped.data());
  for (int64_t i = 0; i < kRows; ++i) EXPECT_EQ(snapped[i * kAuditLanes], w[i]) << i;
}

}  // namespace
}  // namespace unswift
