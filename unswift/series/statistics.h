// What calibration records of the pre-activations z of one MLP layer.
//
// Two passes over the same text: ranges first, histograms second. Both accumulators work unit by
// unit, each unit's tokens in the order they come, so results do not depend on the number of
// threads.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "unswift/base/result.h"
#include "unswift/base/thread_pool.h"
#include "unswift/tensor/rows.h"

namespace unswift {

inline constexpr int kHistogramBins = 256;

/// First pass: extremes and moments of z (without the bias of a plain MLP).
struct LayerRange {
  int64_t num_units = 0;
  int64_t num_tokens = 0;
  std::vector<float> min, max;    ///< [num_units]
  std::vector<double> mean, std;  ///< [num_units], std of the population
};

class RangeAccumulator {
 public:
  explicit RangeAccumulator(int64_t num_units);
  /// z [tokens, num_units].
  void Add(ConstRows z, ThreadPool& pool);
  /// Errors: kInvalidData when a unit saw NaN or infinity (names layer_idx and the unit), or no
  /// tokens.
  Result<LayerRange> Finish(int layer_idx) const;

 private:
  int64_t num_units_, num_tokens_ = 0;
  std::vector<float> min_, max_;
  std::vector<double> shift_, sum_, sum_squares_;  // moments about the unit's first value
};

/// Everything the fit needs, one layer.
struct LayerStatistics {
  int64_t num_units = 0;
  int64_t num_tokens = 0;
  std::vector<float> min, max;             ///< [num_units]
  std::vector<double> mean, std;           ///< [num_units]
  std::vector<double> mean_u2;             ///< [num_units], E[u^2]; 1 for a plain MLP
  std::vector<double> bin_begin, bin_end;  ///< [num_units], the histogram's range of z
  std::vector<float> histogram;            ///< [num_units, kHistogramBins], weighted counts

  std::span<const float> unit_histogram(int64_t unit) const {
    return {histogram.data() + unit * kHistogramBins, kHistogramBins};
  }
};

/// Second pass. Bins span [min - margin (max - min), max + margin (max - min)]; a value outside
/// (text that the first pass did not see) counts in the end bin.
class HistogramAccumulator {
 public:
  HistogramAccumulator(const LayerRange& range, double margin = 0.1);
  /// Each token counts u_j^2 * token_weight in unit j.
  /// Shapes: z [tokens, num_units]; u the same, or empty (data null: u = 1); token_weight [tokens],
  /// usually 1 / |residual stream after the block|^2; empty = 1.
  void Add(ConstRows z, ConstRows u, std::span<const double> token_weight, ThreadPool& pool);
  /// Errors: kInvalidData when a unit's counts are not finite (names layer_idx and the unit).
  Result<LayerStatistics> Finish(int layer_idx) const;

 private:
  LayerStatistics statistics_;
  std::vector<double> bins_per_z_, sum_u2_;
};

/// Errors: kInvalidData, naming layer_idx and unit, when an array has the wrong size, is not
/// finite, has a negative count, or min > max. Run on every LayerStatistics that comes from a file.
Result<> ValidateStatistics(const LayerStatistics& statistics, int layer_idx);

/// One unit's histogram over x = z + bias, as weighted points.
struct WeightedBins {
  std::vector<double> centre;  ///< ascending, in x
  std::vector<double> weight;
  double begin = 0.0, end = 0.0;  ///< the widened range
};

/// Empty bins on each side that widen the range.
inline constexpr int kWideningBins = 48;

/// The 256 bins of a unit, with 48 empty ones of equal width on each side that reach at least
/// [-reach, reach] in x (of width 0 on a side that reaches there already).
WeightedBins WidenedHistogram(const LayerStatistics& statistics, int64_t unit, double bias,
                              double reach = 5.0);

}  // namespace unswift
