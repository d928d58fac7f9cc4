// Small weighted least-squares problems in a guarded basis, one unit each. Internal to series/:
// fits and carry matrices are made of it.
//
// A row of a unit's problem stands for one histogram bin. Outside the interval the guarded p_n is
// p_n(+-1) (1 + slope_n s), s = |t| - 1, so all rows beyond one side span two dimensions of the
// basis; with the right-hand side they are replaced by three rows, which keeps every sum of
// squares.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "unswift/ops/activation.h"
#include "unswift/ops/aligned_buffer.h"
#include "unswift/series/basis.h"
#include "unswift/series/statistics.h"

namespace unswift {

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

/// Room for `count` doubles in a solver's memory; its contents are lost when it grows.
inline double* GetDoubles(AlignedBuffer& memory, int64_t count) {
  return reinterpret_cast<double*>(memory.GetBytes(count * static_cast<int64_t>(sizeof(double))));
}

/// The orthogonal factor of one problem; reuses its memory from call to call.
class SeriesSolver {
 public:
  explicit SeriesSolver(SeriesBasis basis) : basis_(basis) {}

  /// Factors columns p_0 .. p_order, then the right-hand side. `reversed` takes p_order first and
  /// has no right-hand side. ridge >= 0 adds rows sqrt(ridge) I.
  void Factor(const SampleRows& rows, int order, double ridge, bool reversed);

  int order() const { return order_; }
  /// R[row, col]; column order() + 1 is Q^T rhs. A column that depends on those before it within
  /// rounding has R[row, row] = 0 and takes no part.
  double r(int row, int col) const { return r_[static_cast<int64_t>(row) * num_cols_ + col]; }
  /// Squared norm of what is left of the right-hand side after column `n`.
  double residual(int n) const { return residual_[n]; }

 private:
  SeriesBasis basis_;
  int order_ = 0, num_cols_ = 0;
  AlignedBuffer memory_;
  std::vector<double> r_, residual_;
};

/// Coefficients of the solver's order from a factor that was not reversed.
void SolveCoefficients(const SeriesSolver& solver, std::span<double> coefficients);

}  // namespace unswift
