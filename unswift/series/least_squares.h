// Many small weighted least-squares problems in a guarded basis, eight units at a time. Internal to
// series/: fits and carry matrices are made of it.
//
// A row of a unit's problem stands for one histogram bin. Outside the interval the guarded p_n is
// p_n(+-1) (1 + slope_n s), s = |t| - 1, so all rows beyond one side span two dimensions of the
// basis; with the right-hand side they are replaced by three rows, which keeps every sum of
// squares.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "hwy/aligned_allocator.h"
#include "unswift/ops/activation.h"
#include "unswift/series/basis.h"
#include "unswift/series/statistics.h"

namespace unswift {

/// Units that are solved together, one per SIMD lane.
inline constexpr int kLaneUnits = 8;

/// One unit's rows: column n is p_n(position) * (alpha + slope_n * beta), slope_n = n^2 (Chebyshev)
/// or n (Taylor); |position| <= 1 with a guard.
struct SampleRows {
  std::vector<double> position, alpha, beta, rhs;

  size_t size() const { return position.size(); }
  void Clear();
  void Append(double row_position, double row_alpha, double row_beta, double row_rhs);
};

/// Where the rows of a unit come from.
struct SampleSource {
  Activation activation = Activation::kSilu;
  SeriesGuard guard = SeriesGuard::kLinear;
  double bias = 0.0;
  double centre = 0.0, inv_radius = 1.0;  ///< t = (x - bias - centre) * inv_radius
};

/// One row per bin (fewer where the guard allows), scaled by the root of its weight. With
/// `with_values` the right-hand side is phi(x), else 0.
void MakeSampleRows(const WeightedBins& bins, const SampleSource& source, bool with_values,
                    SampleRows& rows);

/// Orthogonal factors of up to eight problems. Arrays have the lane as last index.
class LaneSolver {
 public:
  explicit LaneSolver(SeriesBasis basis) : basis_(basis) {}

  /// Sets lane's rows and its order: columns above it vanish. ridge >= 0 adds rows sqrt(ridge) I.
  void SetLane(int lane, const SampleRows& rows, int order, double ridge);
  /// Factors columns p_0 .. p_max, then the right-hand side. `reversed` takes p_max first and has
  /// no right-hand side. Lanes not set since the last call are empty.
  void Factor(bool reversed);

  int max_order() const { return max_order_; }
  /// R[row, col] of a lane; column max_order() + 1 is Q^T rhs. A column that depends on those
  /// before it within rounding has R[row, row] = 0 and takes no part.
  double r(int row, int col, int lane) const {
    return r_[(static_cast<int64_t>(row) * num_cols_ + col) * kLaneUnits + lane];
  }
  /// Squared norm of what is left of the right-hand side after column `n`.
  double residual(int n, int lane) const { return residual_[n * kLaneUnits + lane]; }

 private:
  SeriesBasis basis_;
  std::array<SampleRows, kLaneUnits> lanes_;
  std::array<int, kLaneUnits> orders_{};
  std::array<double, kLaneUnits> ridge_{};
  int max_order_ = 0, num_cols_ = 0;
  int64_t capacity_ = 0;
  hwy::AlignedFreeUniquePtr<double[]> memory_;
  std::vector<double> r_, residual_;
};

/// Coefficients of order `order` (<= the lane's) from a factor that was not reversed.
void SolveCoefficients(const LaneSolver& solver, int lane, int order,
                       std::span<double> coefficients);

}  // namespace unswift
