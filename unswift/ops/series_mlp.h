// The series MLP's hot path: expanded features of the pre-activations, times one wide matrix.
//
// For protected unit j: t = (z_j - centre_j) / radius_j, feature (j, n) = p_n(t) * u_j, n = 0..N_j
// (u_j = 1 for a plain MLP). y = Theta * features. Source: arXiv 2410.05331 eq. 5, generalised in
// docs/equations.md.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "unswift/base/thread_pool.h"
#include "unswift/tensor/rows.h"
#include "unswift/tensor/tensor_view.h"

namespace unswift {

enum class SeriesBasis : uint8_t {
  kChebyshev,  ///< p_n = T_n
  kTaylor,     ///< p_n = t^n
};

/// What happens to p_n outside |t| <= 1.
enum class SeriesGuard : uint8_t {
  kLinear,    ///< C1 linear continuation: p_n(clamp t) + p_n'(+-1) (t - clamp t)
  kNone,      ///< the polynomial itself
  kTruncate,  ///< the paper's code: where |z - centre| > cutoff, orders above cutoff_order are
              ///< dropped
};

/// The protected units of one layer, sorted by order, descending. Does not own its arrays.
struct SeriesUnits {
  SeriesBasis basis = SeriesBasis::kChebyshev;
  SeriesGuard guard = SeriesGuard::kLinear;
  float cutoff = 0.0f;       ///< kTruncate only, in units of z
  int32_t cutoff_order = 0;  ///< kTruncate only
  int32_t first_order = 0;   ///< 0 (gated), or 1 (plain: order 0 is a constant and lives in a bias)
  std::span<const float> centre;      ///< [num_units]
  std::span<const float> inv_radius;  ///< [num_units], 1 / radius
  /// units_of_order[n] = number of units whose order is >= n; they are the first ones. Its size is
  /// the largest order + 1; non-increasing; units_of_order[first_order..] add up to num_features().
  std::span<const int64_t> units_of_order;

  int64_t num_units() const { return static_cast<int64_t>(centre.size()); }
  int64_t num_features() const {
    int64_t total = 0;
    for (size_t n = first_order; n < units_of_order.size(); ++n) total += units_of_order[n];
    return total;
  }
};

/// Forms all features of a few rows, order-major: order n's features follow those of order n - 1,
/// each order's in unit order.
/// Shapes: z [m, num_units]; u [m, num_units], or empty (data null) for a plain MLP;
///   features [m, num_features()].
void SeriesFeatures(const SeriesUnits& units, ConstRows z, ConstRows u, Rows features,
                    ThreadPool& pool);

/// y (+)= Theta * features(z, u). Few rows: all features, then one streaming matmul. Many rows: by
/// groups of orders, so that features take about 64 MB (or one order's) whatever the order.
/// Shapes: theta [n, num_features()] with columns in the order of SeriesFeatures; y [m, n].
void SeriesDownProjection(const SeriesUnits& units, ConstRows z, ConstRows u,
                          const MatrixView& theta, Rows y, ThreadPool& pool, bool accumulate);

}  // namespace unswift
