#include "unswift/series/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

#include "unswift/base/check.h"

namespace unswift {
namespace {

// Units of one task: their running sums stay in the first-level cache while the tokens pass by.
constexpr int64_t kUnitsPerTask = 64;

template <typename Fn>
void ForUnitBlocks(int64_t num_units, ThreadPool& pool, const Fn& fn) {
  const int64_t blocks = (num_units + kUnitsPerTask - 1) / kUnitsPerTask;
  pool.ParallelForDynamic(blocks, [&](int64_t block, int) {
    const int64_t begin = block * kUnitsPerTask;
    fn(begin, std::min(begin + kUnitsPerTask, num_units));
  });
}

template <typename T>
bool Finite(const std::vector<T>& values, int64_t unit) {
  return std::isfinite(values[unit]);
}

}  // namespace

RangeAccumulator::RangeAccumulator(int64_t num_units)
    : num_units_(num_units),
      min_(num_units, std::numeric_limits<float>::infinity()),
      max_(num_units, -std::numeric_limits<float>::infinity()),
      shift_(num_units),
      sum_(num_units),
      sum_squares_(num_units) {}

void RangeAccumulator::Add(ConstRows z, ThreadPool& pool) {
  UNSWIFT_CHECK(z.cols == num_units_);
  if (z.rows == 0) return;
  const bool first = num_tokens_ == 0;
  num_tokens_ += z.rows;
  ForUnitBlocks(num_units_, pool, [&](int64_t begin, int64_t end) {
    if (first) std::copy(z.data + begin, z.data + end, shift_.begin() + begin);
    for (int64_t token = 0; token < z.rows; ++token) {
      const float* row = z.data + token * z.stride;
      for (int64_t j = begin; j < end; ++j) {
        min_[j] = std::min(min_[j], row[j]);
        max_[j] = std::max(max_[j], row[j]);
        const double delta = row[j] - shift_[j];
        sum_[j] += delta;
        sum_squares_[j] += delta * delta;
      }
    }
  });
}

Result<LayerRange> RangeAccumulator::Finish(int layer_idx) const {
  if (num_tokens_ == 0) {
    return MakeError(ErrorCode::kInvalidData, "[calibrate] layer {}: expected tokens, got none",
                     layer_idx);
  }
  LayerRange range{num_units_, num_tokens_, min_, max_, {}, {}};
  range.mean.resize(num_units_);
  range.std.resize(num_units_);
  const double count = static_cast<double>(num_tokens_);
  for (int64_t j = 0; j < num_units_; ++j) {
    if (!std::isfinite(
            sum_squares_[j])) {  // NaN and infinity reach the sums whatever min and max do
      return MakeError(
          ErrorCode::kInvalidData,
          "[calibrate] layer {} unit {}: expected finite pre-activations, got NaN or infinity",
          layer_idx, j);
    }
    const double delta = sum_[j] / count;
    range.mean[j] = shift_[j] + delta;
    range.std[j] = std::sqrt(std::max(sum_squares_[j] / count - delta * delta, 0.0));
  }
  return range;
}

HistogramAccumulator::HistogramAccumulator(const LayerRange& range, double margin)
    : bins_per_z_(range.num_units), sum_u2_(range.num_units) {
  LayerStatistics& s = statistics_;
  s.num_units = range.num_units;
  s.min = range.min;
  s.max = range.max;
  s.mean = range.mean;
  s.std = range.std;
  s.bin_begin.resize(s.num_units);
  s.bin_end.resize(s.num_units);
  s.histogram.assign(s.num_units * kHistogramBins, 0.0f);
  for (int64_t j = 0; j < s.num_units; ++j) {
    const double width = static_cast<double>(s.max[j]) - s.min[j];
    // A unit that never moves still needs bins of some width.
    const double least = 1e-6 * (1.0 + std::abs(s.min[j]) + std::abs(s.max[j]));
    const double extra = std::max(margin * width, least);
    s.bin_begin[j] = s.min[j] - extra;
    s.bin_end[j] = s.max[j] + extra;
    bins_per_z_[j] = kHistogramBins / (s.bin_end[j] - s.bin_begin[j]);
  }
}

void HistogramAccumulator::Add(ConstRows z, ConstRows u, std::span<const double> token_weight,
                               ThreadPool& pool) {
  LayerStatistics& s = statistics_;
  const bool gated = u.data != nullptr;
  UNSWIFT_CHECK(z.cols == s.num_units);
  UNSWIFT_CHECK(!gated || (u.rows == z.rows && u.cols == z.cols));
  UNSWIFT_CHECK(token_weight.empty() || static_cast<int64_t>(token_weight.size()) == z.rows);
  s.num_tokens += z.rows;
  ForUnitBlocks(s.num_units, pool, [&](int64_t begin, int64_t end) {
    for (int64_t token = 0; token < z.rows; ++token) {
      const float* z_row = z.data + token * z.stride;
      const float* u_row = gated ? u.data + token * u.stride : nullptr;
      const double weight = token_weight.empty() ? 1.0 : token_weight[token];
      for (int64_t j = begin; j < end; ++j) {
        const double u2 = gated ? static_cast<double>(u_row[j]) * u_row[j] : 1.0;
        sum_u2_[j] += u2;
        const double position = (z_row[j] - s.bin_begin[j]) * bins_per_z_[j];
        const int bin = position > 0.0  // false for NaN
                            ? static_cast<int>(std::min(position, kHistogramBins - 1.0))
                            : 0;
        // z - z is 0, or NaN where z is not finite: then Finish() refuses the unit.
        s.histogram[j * kHistogramBins + bin] +=
            static_cast<float>(u2 * weight) + (z_row[j] - z_row[j]);
      }
    }
  });
}

Result<LayerStatistics> HistogramAccumulator::Finish(int layer_idx) const {
  LayerStatistics result = statistics_;
  result.mean_u2.resize(result.num_units);
  const double count = static_cast<double>(std::max<int64_t>(result.num_tokens, 1));
  for (int64_t j = 0; j < result.num_units; ++j) result.mean_u2[j] = sum_u2_[j] / count;
  UNSWIFT_RETURN_IF_ERROR(ValidateStatistics(result, layer_idx));
  return result;
}

Result<> ValidateStatistics(const LayerStatistics& s, int layer_idx) {
  const size_t h = static_cast<size_t>(std::max<int64_t>(s.num_units, 0));
  if (s.num_units < 0 || s.min.size() != h || s.max.size() != h || s.mean.size() != h ||
      s.std.size() != h || s.mean_u2.size() != h || s.bin_begin.size() != h ||
      s.bin_end.size() != h || s.histogram.size() != h * kHistogramBins) {
    return MakeError(ErrorCode::kInvalidData,
                     "[statistics] layer {}: expected arrays of {} units, got other sizes",
                     layer_idx, s.num_units);
  }
  for (int64_t j = 0; j < s.num_units; ++j) {
    const auto fail = [&](std::string_view what) -> Result<> {
      return MakeError(ErrorCode::kInvalidData, "[statistics] layer {} unit {}: {}", layer_idx, j,
                       what);
    };
    if (!Finite(s.min, j) || !Finite(s.max, j) || !Finite(s.mean, j) || !Finite(s.std, j) ||
        !Finite(s.mean_u2, j) || !Finite(s.bin_begin, j) || !Finite(s.bin_end, j)) {
      return fail("expected finite values, got NaN or infinity");
    }
    if (s.min[j] > s.max[j]) return fail("expected min <= max, got min > max");
    if (!(s.bin_begin[j] < s.bin_end[j]))
      return fail("expected bin_begin < bin_end, got none such");
    double mass = 0.0;
    for (const float count : s.unit_histogram(j)) {
      if (!(count >= 0.0f)) return fail("expected counts >= 0, got NaN or less");
      mass += count;
    }
    if (!std::isfinite(mass)) return fail("expected finite counts, got infinity");
  }
  return {};
}

WeightedBins WidenedHistogram(const LayerStatistics& s, int64_t unit, double bias, double reach) {
  const double begin = s.bin_begin[unit] + bias, end = s.bin_end[unit] + bias;
  WeightedBins bins;
  bins.begin = std::min(begin, -reach);
  bins.end = std::max(end, reach);
  bins.centre.reserve(kHistogramBins + 2 * kWideningBins);
  bins.weight.reserve(kHistogramBins + 2 * kWideningBins);
  const auto append = [&](double from, double to, int count) {
    for (int i = 0; i < count; ++i) {
      bins.centre.push_back(from + (to - from) * (i + 0.5) / count);
      bins.weight.push_back(0.0);
    }
  };
  append(bins.begin, begin, kWideningBins);
  append(begin, end, kHistogramBins);
  append(end, bins.end, kWideningBins);
  const auto histogram = s.unit_histogram(unit);
  std::copy(histogram.begin(), histogram.end(), bins.weight.begin() + kWideningBins);
  return bins;
}

}  // namespace unswift
