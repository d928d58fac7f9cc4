// Coefficients of the protected units: weighted least squares in the guarded basis, or the paper's
// Taylor expansion. All arithmetic in double.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "unswift/base/result.h"
#include "unswift/base/thread_pool.h"
#include "unswift/ops/activation.h"
#include "unswift/ops/series_mlp.h"
#include "unswift/series/derivatives.h"
#include "unswift/series/statistics.h"

namespace unswift {

struct FitOptions {
  Activation activation = Activation::kSilu;
  SeriesBasis basis = SeriesBasis::kChebyshev;
  SeriesGuard guard = SeriesGuard::kLinear;  ///< kLinear or kNone
  double uniform_share = 0.01;  ///< of the histogram's mass, spread evenly over all bins
  int max_order = kMaxSeriesOrder;
  double reach = 5.0;  ///< the range of x = z + bias is widened to at least [-reach, reach] ...
  double clip = 10.0;  ///< ... and the interval is that range cut to [-clip, clip]
  int layer_idx = 0;   ///< for error messages
};

/// Which units of a layer are protected, and with which order. Units sorted by order, descending,
/// equal orders by index: the order in which releases store them.
struct UnitSelection {
  std::vector<int64_t> units;   ///< indices into the layer's units
  std::vector<int32_t> orders;  ///< of units[i], non-increasing
};

/// Sorts units by orders[i] (of units[i]), descending; ties by unit index.
UnitSelection SortByOrder(std::span<const int64_t> units, std::span<const int32_t> orders);

/// Polynomials of the selected units, in the selection's order.
struct SeriesFit {
  std::vector<int64_t> units;  ///< indices into the layer's units
  SeriesBasis basis = SeriesBasis::kChebyshev;
  SeriesGuard guard = SeriesGuard::kLinear;
  double cutoff = 0.0;                    ///< kTruncate only, in z
  int cutoff_order = 0;                   ///< kTruncate only
  std::vector<float> centre, inv_radius;  ///< [units], exactly what run time evaluates
  std::vector<int32_t> orders;            ///< [units]
  std::vector<int64_t> offset;            ///< [units + 1], unit i's coefficients start there
  std::vector<double> coefficients;       ///< ragged, orders[i] + 1 of unit i

  int64_t num_units() const { return static_cast<int64_t>(orders.size()); }
  std::span<const double> unit(int64_t i) const {
    return {coefficients.data() + offset[i], static_cast<size_t>(offset[i + 1] - offset[i])};
  }
  std::span<double> unit(int64_t i) {
    return {coefficients.data() + offset[i], static_cast<size_t>(offset[i + 1] - offset[i])};
  }
};

/// E[j * (max_order + 1) + n]: weighted squared error of unit j's best fit of order n.
/// bias [num_units] of a plain MLP (phi(z + bias) is fitted), or empty = 0.
/// Errors: kInvalidData as ValidateStatistics, or a bias that is not finite; kInvalidArgument for
/// options. Deterministic for any number of threads.
Result<std::vector<double>> ErrorsByOrder(const LayerStatistics& statistics,
                                          const FitOptions& options, std::span<const double> bias,
                                          ThreadPool& pool);

/// The best fits of the selected units at their orders. bias [num_units of the layer] or empty.
/// Errors: as ErrorsByOrder.
Result<SeriesFit> FitCoefficients(const LayerStatistics& statistics, const FitOptions& options,
                                  const UnitSelection& selection, std::span<const double> bias,
                                  ThreadPool& pool);

/// The paper's expansion: centre (min + max) / 2, radius 1, Taylor coefficients of phi at
/// centre + bias, every unit of the same order or its own.
/// Source: arXiv 2410.05331 section 3 and the authors' code (taylormlp "paper" preset).
struct PaperOptions {
  Activation activation = Activation::kSilu;
  SeriesGuard guard = SeriesGuard::kTruncate;  ///< the authors' code; kNone is the paper's text
  double cutoff = 2.5;  ///< |z - centre| beyond which orders above cutoff_order are dropped
  int cutoff_order =
      4;  ///< grad_order_min: their class defaults to 4, their Llama-3 script passes 8
};
SeriesFit PaperFit(std::span<const float> min, std::span<const float> max,
                   const PaperOptions& options, const UnitSelection& selection,
                   std::span<const double> bias);

/// phi^(n)(z0 + bias) / n! at z0 = (min + max) / 2.
std::vector<double> PaperCoefficients(Activation activation, double min, double max, double bias,
                                      int order);

/// Indices of the `count` units with the smallest max - min, ascending; ties by index.
std::vector<int64_t> SmallestRangeUnits(std::span<const float> min, std::span<const float> max,
                                        int64_t count);

/// Replaces z_i by sign[i] * z_i (sign +1 or -1): centre -> sign centre, a_n -> sign^n a_n. The
/// gate row (or fc1 row) must be multiplied by the same sign.
void FlipSigns(SeriesFit& fit, std::span<const int8_t> sign);

}  // namespace unswift
