#include <numbers>

#include "tests/ops/kernel_test.h"
#include "unswift/ops/norm.h"
#include "unswift/ops/reference/reference.h"
#include "unswift/ops/rope.h"

namespace unswift {
namespace {

class NormTest : public EveryTarget {};
class RopeTest : public EveryTarget {};
UNSWIFT_INSTANTIATE_FOR_EVERY_TARGET(NormTest);
UNSWIFT_INSTANTIATE_FOR_EVERY_TARGET(RopeTest);

const int64_t kSizes[] = {1, 3, 15, 16, 17, 63, 64, 65, 130, 576, 2049};

/// Roundings on the longest path through a row sum in four vectors.
double SumRoundings(int64_t n) {
  const double lanes = static_cast<double>(CurrentKernelLanes());
  return std::ceil(n / (4.0 * lanes)) + 4.0 + std::log2(lanes) + 2.0;
}

TEST_P(NormTest, RmsNormIsWithinTheBound) {
  ThreadPool pool(2);
  for (const int64_t n : kSizes) {
    TestRows x(7, n, 1, 5.0), weight(1, n, 2), y(7, n, 3);
    RmsNorm(x.view(), weight.view().row(0), 1e-5f, y.view(), pool);
    const auto expected = reference::RmsNorm(x.view(), weight.view().row(0), 1e-5f);
    // The square root halves the sum's relative error; mean, eps, root, inverse, two products: 6 u.
    const double factor = (SumRoundings(n) / 2 + 6.0) * kUnitRoundoff;
    for (int64_t r = 0; r < 7; ++r) {
      for (int64_t i = 0; i < n; ++i) {
        const double value = expected.at(r, i);
        ASSERT_NEAR(y.view().row(r)[i], value, factor * std::abs(value) + 1e-38) << n;
      }
    }
    TestRows in_place = x;
    RmsNorm(in_place.view(), weight.view().row(0), 1e-5f, in_place.view(), pool);
    for (int64_t r = 0; r < 7; ++r) {
      EXPECT_TRUE(std::ranges::equal(in_place.view().row(r), y.view().row(r)));
    }
    EXPECT_TRUE(y.GapsUntouched());
  }
}

TEST_P(NormTest, LayerNormIsWithinTheBound) {
  ThreadPool pool(2);
  for (const int64_t n : kSizes) {
    TestRows x(5, n, 1), weight(1, n, 2), bias(1, n, 3), y(5, n, 4);
    for (int64_t r = 0; r < 5; ++r) {
      for (float& v : x.view().row(r)) v += 2.0f;  // a mean that matters
    }
    LayerNorm(x.view(), weight.view().row(0), bias.view().row(0), 1e-5f, y.view(), pool);
    const auto expected =
        reference::LayerNorm(x.view(), weight.view().row(0), bias.view().row(0), 1e-5f);
    const double roundings = SumRoundings(n);
    for (int64_t r = 0; r < 5; ++r) {
      double magnitude = 0.0, mean = 0.0, variance = 0.0;
      for (const double v : x.view().row(r)) {
        magnitude += std::abs(v) / n;
        mean += v / n;
      }
      for (const double v : x.view().row(r)) variance += (v - mean) * (v - mean) / n;
      const double scale = 1.0 / std::sqrt(variance + 1e-5);
      // The mean is off by at most `shift`. That shifts every centred value and adds shift^2 to the
      // variance (the cross term's sum is the exact mean's, 0); the rest is relative.
      const double shift = (roundings + 1.0) * kUnitRoundoff * magnitude;
      for (int64_t i = 0; i < n; ++i) {
        const double normal = std::abs(x.view().row(r)[i] - mean) * scale;
        const double relative =
            (roundings / 2 + 8.0) * kUnitRoundoff + shift * shift * scale * scale;
        const double w = std::abs(weight.view().row(0)[i]);
        const double tolerance = w * (shift * scale * 1.01 + normal * relative) +
                                 2 * kUnitRoundoff * (w * normal + std::abs(bias.view().row(0)[i]));
        ASSERT_NEAR(y.view().row(r)[i], expected.at(r, i), tolerance) << n << " " << r << " " << i;
      }
    }
  }
}

std::vector<double> InverseFrequencies(int64_t half) {
  std::vector<double> inv_freq(half);
  for (int64_t i = 0; i < half; ++i) inv_freq[i] = std::pow(1e4, -double(i) / double(half));
  return inv_freq;
}

RopeTable TableOf(const std::vector<int32_t>& positions, const std::vector<double>& inv_freq,
                  ThreadPool& pool) {
  RopeTable table;
  table.Resize(static_cast<int64_t>(positions.size()), static_cast<int64_t>(inv_freq.size()));
  table.SetRows(0, positions, inv_freq, 1.0, pool);
  return table;
}

TEST_P(RopeTest, IsAComplexRotation) {
  ThreadPool pool(2);
  for (const int64_t half : {1, 7, 16, 32, 40}) {
    const int64_t head_dim = 2 * half + (half == 7 ? 4 : 0);  // one case leaves dims unrotated
    TestRows x(6, 3 * head_dim, 1);
    const TestRows before = x;
    TestRows copy = before;
    const std::vector<int32_t> positions = {0, 1, 5, 1000, 131071, 3};
    const std::vector<double> inv_freq = InverseFrequencies(half);
    const auto expected = reference::Rope(copy.view(), head_dim, positions, inv_freq);
    ApplyRope(x.view(), head_dim, TableOf(positions, inv_freq, pool), pool);
    for (int64_t r = 0; r < 6; ++r) {
      for (int64_t i = 0; i < x.view().cols; ++i) {
        // a c - b s: each factor, product and the sum rounded once.
        const int64_t in_head = i % head_dim, partner = in_head < half ? i + half : i - half;
        const double reach = in_head < 2 * half ? std::abs(copy.view().row(r)[i]) +
                                                      std::abs(copy.view().row(r)[partner])
                                                : 0.0;
        ASSERT_NEAR(x.view().row(r)[i], expected.at(r, i), 3.0 * kUnitRoundoff * reach);
      }
    }
    EXPECT_TRUE(x.GapsUntouched());
  }
}

TEST_P(RopeTest, RowsMayHaveTheirOwnFrequenciesAndScale) {
  ThreadPool pool(2);
  const std::vector<double> first = InverseFrequencies(4), second = {1.0, 0.5, 0.25, 0.125};
  const std::vector<int32_t> positions = {3, 4, 900};
  RopeTable mixed;
  mixed.Resize(3, 4);
  mixed.SetRows(0, std::span(positions).first(1), first, 1.0, pool);
  mixed.SetRows(1, std::span(positions).subspan(1), second, 2.0, pool);
  TestRows rows(3, 16, 1), own(3, 16, 1), other(3, 16, 1);
  ApplyRope(rows.view(), 8, mixed, pool);
  ApplyRope(own.view(), 8, TableOf(positions, first, pool), pool);
  ApplyRope(other.view(), 8, TableOf(positions, second, pool), pool);
  EXPECT_TRUE(std::ranges::equal(rows.view().row(0), own.view().row(0)));
  for (int64_t r : {1, 2}) {
    for (int64_t i = 0; i < 16; ++i) {  // doubling is exact
      EXPECT_EQ(rows.view().row(r)[i], 2.0f * other.view().row(r)[i]);
    }
  }
}

}  // namespace
}  // namespace unswift
