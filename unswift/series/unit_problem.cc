#include "unswift/series/unit_problem.h"

#include <algorithm>
#include <cmath>

namespace unswift {
namespace {

// A least-squares polynomial oscillates between points when they are hardly more than its
// coefficients; split bins bring the points inside the interval to kRefinedBins.
constexpr double kLeastBins = 1.5 * (kMaxSeriesOrder + 1);
constexpr double kRefinedBins = 4.0 * (kMaxSeriesOrder + 1);
// Points on each side that carry the uniform share beyond the range.
constexpr int kCarryPoints = 32;

// Splits every bin of the histogram that overlaps [begin, end] into parts of at most `width` inside
// it and one part on each side outside; weights go by length.
WeightedBins SplitBins(const WeightedBins& bins, double bin_width, double begin, double end,
                       double width) {
  WeightedBins split;
  split.begin = bins.begin;
  split.end = bins.end;
  const auto append = [&](double from, double to, double weight_per_length) {
    if (!(to > from)) return;
    split.centre.push_back(0.5 * (from + to));
    split.weight.push_back((to - from) * weight_per_length);
  };
  for (size_t i = 0; i < bins.centre.size(); ++i) {
    const double from = bins.centre[i] - 0.5 * bin_width, to = from + bin_width;
    const bool of_histogram = i >= kWideningBins && i < kWideningBins + kHistogramBins;
    const double inner_from = std::max(from, begin), inner_to = std::min(to, end);
    if (!of_histogram || inner_from >= inner_to) {
      split.centre.push_back(bins.centre[i]);
      split.weight.push_back(bins.weight[i]);
      continue;
    }
    const double density = bins.weight[i] / bin_width;
    append(from, inner_from, density);
    const int parts = static_cast<int>(std::ceil((inner_to - inner_from) / width));
    for (int part = 0; part < parts; ++part) {
      const double step = (inner_to - inner_from) / parts;
      append(inner_from + part * step, inner_from + (part + 1) * step, density);
    }
    append(inner_to, to, density);
  }
  return split;
}

// The outermost bins' centres are where the range ends as far as the fit knows.
void CarryBeyond(double reach, WeightedBins& bins) {
  const double first = bins.centre.front(), last = bins.centre.back();
  for (int i = 0; i < kCarryPoints; ++i) {
    const double offset = reach * (i + 0.5) / kCarryPoints;
    bins.centre.push_back(first - offset);
    bins.centre.push_back(last + offset);
    bins.weight.insert(bins.weight.end(), 2, 0.0);
  }
}

}  // namespace

UnitInterval IntervalOfUnit(const LayerStatistics& statistics, const FitOptions& options,
                            int64_t unit, double bias) {
  const double low = std::min(statistics.min[unit] + bias, -options.reach);
  const double high = std::max(statistics.max[unit] + bias, options.reach);
  const double begin = std::max(low, -options.clip), end = std::min(high, options.clip);
  return {static_cast<float>(0.5 * (begin + end) - bias), static_cast<float>(2.0 / (end - begin))};
}

UnitPoints PointsOfUnit(const LayerStatistics& statistics, const FitOptions& options, int64_t unit,
                        double bias, const UnitInterval& interval, double carry_reach) {
  UnitPoints points;
  points.bins = WidenedHistogram(statistics, unit, bias, options.reach);
  const double bin_width = (statistics.bin_end[unit] - statistics.bin_begin[unit]) / kHistogramBins;
  const double radius = 1.0 / interval.inv_radius;
  if (2.0 * radius < kLeastBins * bin_width) {
    const double middle = interval.centre + bias;
    points.bins = SplitBins(points.bins, bin_width, middle - radius, middle + radius,
                            2.0 * radius / kRefinedBins);
  }
  if (carry_reach > 0.0) CarryBeyond(carry_reach, points.bins);
  std::vector<double>& weight = points.bins.weight;
  for (const double w : weight) points.mass += w;
  const double scale = points.mass > 0.0 ? 1.0 / points.mass : 0.0;
  const double share = options.uniform_share / static_cast<double>(weight.size());
  for (double& w : weight) w = w * scale + share;
  return points;
}

Result<> ValidateFit(const LayerStatistics& statistics, const FitOptions& options,
                     std::span<const double> bias) {
  if (options.max_order < 0 || options.max_order > kMaxSeriesOrder ||
      options.guard == SeriesGuard::kTruncate || !(options.uniform_share > 0.0) ||
      !(options.reach > 0.0 && options.reach <= options.clip && std::isfinite(options.clip))) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "[fit] expected 0 <= max_order <= {}, a guard other than truncate, "
                     "uniform_share > 0 and 0 < reach <= clip, got {}, {}, {}, {}, {}",
                     kMaxSeriesOrder, options.max_order, static_cast<int>(options.guard),
                     options.uniform_share, options.reach, options.clip);
  }
  UNSWIFT_RETURN_IF_ERROR(ValidateStatistics(statistics, options.layer_idx));
  if (!bias.empty() && static_cast<int64_t>(bias.size()) != statistics.num_units) {
    return MakeError(ErrorCode::kInvalidData, "[fit] layer {}: expected {} biases, got {}",
                     options.layer_idx, statistics.num_units, bias.size());
  }
  for (size_t j = 0; j < bias.size(); ++j) {
    if (!std::isfinite(bias[j])) {
      return MakeError(ErrorCode::kInvalidData,
                       "[fit] layer {} unit {}: expected a finite bias, got {}", options.layer_idx,
                       j, bias[j]);
    }
  }
  return {};
}

}  // namespace unswift
