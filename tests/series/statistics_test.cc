#include "unswift/series/statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "unswift/base/random.h"

namespace unswift {
namespace {

using testing::HasSubstr;

constexpr int64_t kTokens = 300, kUnits = 150;

struct Sample {
  std::vector<float> z, u;
  std::vector<double> weight;

  explicit Sample(uint64_t seed) : z(kTokens * kUnits), u(z.size()), weight(kTokens) {
    Random random(seed);
    for (size_t i = 0; i < z.size(); ++i) {
      const double unit = static_cast<double>(i % kUnits);
      z[i] = static_cast<float>(random.NextNormal() * (0.2 + 0.02 * unit) + 0.01 * unit - 1.0);
      u[i] = static_cast<float>(random.NextNormal());
    }
    for (double& w : weight) w = 0.1 + random.NextUniform();
  }
  ConstRows Z(int64_t begin, int64_t count) const {
    return {z.data() + begin * kUnits, count, kUnits};
  }
  ConstRows U(int64_t begin, int64_t count) const {
    return {u.data() + begin * kUnits, count, kUnits};
  }
};

// Both passes, the tokens in batches.
LayerStatistics Accumulate(const Sample& sample, bool gated, bool weighted, int threads,
                           int64_t batch) {
  ThreadPool pool(threads);
  RangeAccumulator range(kUnits);
  for (int64_t t = 0; t < kTokens; t += batch) {
    range.Add(sample.Z(t, std::min(batch, kTokens - t)), pool);
  }
  HistogramAccumulator histogram(range.Finish(0).value());
  for (int64_t t = 0; t < kTokens; t += batch) {
    const int64_t count = std::min(batch, kTokens - t);
    histogram.Add(sample.Z(t, count), gated ? sample.U(t, count) : ConstRows(),
                  weighted ? std::span(sample.weight).subspan(t, count) : std::span<const double>(),
                  pool);
  }
  return histogram.Finish(0).value();
}

TEST(Statistics, AgreeWithAPlainLoop) {
  const Sample sample(1);
  const LayerStatistics s = Accumulate(sample, true, true, 2, 77);
  EXPECT_EQ(s.num_tokens, kTokens);
  for (int64_t j = 0; j < kUnits; ++j) {
    double min = 1e9, max = -1e9, sum = 0, sum2 = 0, u2 = 0;
    for (int64_t t = 0; t < kTokens; ++t) {
      const double z = sample.z[t * kUnits + j], u = sample.u[t * kUnits + j];
      min = std::min(min, z), max = std::max(max, z), sum += z, u2 += u * u;
    }
    const double mean = sum / kTokens;
    std::vector<double> counts(kHistogramBins);
    const double lo = min - 0.1 * (max - min), hi = max + 0.1 * (max - min);
    for (int64_t t = 0; t < kTokens; ++t) {
      const double z = sample.z[t * kUnits + j], u = sample.u[t * kUnits + j];
      sum2 += (z - mean) * (z - mean);
      counts[static_cast<int>((z - lo) / (hi - lo) * kHistogramBins)] += u * u * sample.weight[t];
    }
    EXPECT_EQ(s.min[j], static_cast<float>(min));
    EXPECT_EQ(s.max[j], static_cast<float>(max));
    EXPECT_NEAR(s.mean[j], mean, 1e-13);
    EXPECT_NEAR(s.std[j], std::sqrt(sum2 / kTokens), 1e-12);
    EXPECT_NEAR(s.mean_u2[j], u2 / kTokens, 1e-12);
    EXPECT_NEAR(s.bin_begin[j], lo, 1e-12);
    EXPECT_NEAR(s.bin_end[j], hi, 1e-12);
    for (int b = 0; b < kHistogramBins; ++b) {
      // float32 sums of at most kTokens positive terms.
      EXPECT_NEAR(s.unit_histogram(j)[b], counts[b], kTokens * 6e-8 * counts[b]) << j << " " << b;
    }
  }
}

TEST(Statistics, DoNotDependOnThreadsOrBatches) {
  const Sample sample(2);
  const LayerStatistics one = Accumulate(sample, true, true, 1, kTokens);
  for (const int threads : {1, 2, 3}) {
    for (const int64_t batch : {int64_t{1}, int64_t{64}, kTokens}) {
      const LayerStatistics other = Accumulate(sample, true, true, threads, batch);
      EXPECT_EQ(one.min, other.min);
      EXPECT_EQ(one.max, other.max);
      EXPECT_EQ(one.mean, other.mean);
      EXPECT_EQ(one.std, other.std);
      EXPECT_EQ(one.mean_u2, other.mean_u2);
      EXPECT_EQ(one.histogram, other.histogram);
    }
  }
}

TEST(Statistics, PlainMlpCountsTokens) {
  const LayerStatistics s = Accumulate(Sample(3), false, false, 1, kTokens);
  for (int64_t j = 0; j < kUnits; ++j) {
    double mass = 0.0;
    for (const float count : s.unit_histogram(j)) mass += count;
    EXPECT_EQ(mass, kTokens);
    EXPECT_EQ(s.mean_u2[j], 1.0);
  }
}

TEST(Statistics, UnseenValuesCountInTheEndBins) {
  ThreadPool pool(1);
  const float first[] = {-1.0f, 1.0f}, second[] = {-50.0f, 50.0f};
  RangeAccumulator range(1);
  range.Add(ConstRows(first, 2, 1), pool);
  HistogramAccumulator histogram(range.Finish(0).value());
  histogram.Add(ConstRows(second, 2, 1), {}, {}, pool);
  const LayerStatistics s = histogram.Finish(0).value();
  EXPECT_EQ(s.histogram.front(), 1.0f);
  EXPECT_EQ(s.histogram.back(), 1.0f);
}

TEST(Statistics, AConstantUnitHasBins) {
  ThreadPool pool(1);
  const float z[] = {2.5f, 2.5f, 2.5f};
  RangeAccumulator range(1);
  range.Add(ConstRows(z, 3, 1), pool);
  HistogramAccumulator histogram(range.Finish(0).value());
  histogram.Add(ConstRows(z, 3, 1), {}, {}, pool);
  const auto s = histogram.Finish(0);
  ASSERT_TRUE(s) << s.error().message;
  EXPECT_LT(s->bin_begin[0], 2.5);
  EXPECT_GT(s->bin_end[0], 2.5);
  EXPECT_EQ(s->std[0], 0.0);
}

TEST(Statistics, RefusesWhatIsNotFinite) {
  ThreadPool pool(1);
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    const float z[] = {1.0f, 2.0f, 3.0f, bad};
    RangeAccumulator range(2);
    range.Add(ConstRows(z, 2, 2), pool);
    const auto result = range.Finish(7);
    ASSERT_FALSE(result);
    EXPECT_THAT(result.error().message, HasSubstr("layer 7 unit 1"));

    const float good[] = {1.0f, 2.0f, 3.0f, 4.0f};
    RangeAccumulator good_range(2);
    good_range.Add(ConstRows(good, 2, 2), pool);
    HistogramAccumulator of_z(good_range.Finish(7).value()), of_u(good_range.Finish(7).value());
    of_z.Add(ConstRows(z, 2, 2), {}, {}, pool);
    of_u.Add(ConstRows(good, 2, 2), ConstRows(z, 2, 2), {}, pool);
    for (const auto* accumulator : {&of_z, &of_u}) {
      const auto statistics = accumulator->Finish(7);
      ASSERT_FALSE(statistics);
      EXPECT_THAT(statistics.error().message, HasSubstr("layer 7 unit 1"));
    }
  }
  EXPECT_FALSE(RangeAccumulator(2).Finish(0)) << "no tokens";
}

TEST(Statistics, ValidationNamesTheUnit) {
  const LayerStatistics good = Accumulate(Sample(4), true, true, 1, kTokens);
  EXPECT_TRUE(ValidateStatistics(good, 3));
  const auto expect_refused = [&](auto change) {
    LayerStatistics bad = good;
    change(bad);
    const auto result = ValidateStatistics(bad, 3);
    ASSERT_FALSE(result);
    EXPECT_THAT(result.error().message, HasSubstr("layer 3 unit 5"));
  };
  expect_refused([](LayerStatistics& s) { s.min[5] = std::nanf(""); });
  expect_refused([](LayerStatistics& s) { s.std[5] = std::nan(""); });
  expect_refused([](LayerStatistics& s) { s.min[5] = s.max[5] + 1; });
  expect_refused([](LayerStatistics& s) { s.bin_end[5] = s.bin_begin[5]; });
  expect_refused([](LayerStatistics& s) { s.histogram[5 * kHistogramBins + 9] = -1.0f; });
  expect_refused([](LayerStatistics& s) { s.histogram[5 * kHistogramBins] = std::nanf(""); });
  LayerStatistics short_one = good;
  short_one.max.pop_back();
  EXPECT_FALSE(ValidateStatistics(short_one, 3));
}

TEST(Statistics, WideningReachesFiveOnBothSides) {
  const LayerStatistics s = Accumulate(Sample(5), true, true, 1, kTokens);
  const WeightedBins bins = WidenedHistogram(s, 0, 0.5);
  ASSERT_EQ(bins.centre.size(), 352u);
  EXPECT_EQ(bins.begin, -5.0);
  EXPECT_EQ(bins.end, 5.0);
  EXPECT_TRUE(std::is_sorted(bins.centre.begin(), bins.centre.end()));
  EXPECT_NEAR(bins.centre[48], s.bin_begin[0] + 0.5 + (s.bin_end[0] - s.bin_begin[0]) / 512, 1e-12);
}

}  // namespace
}  // namespace unswift
