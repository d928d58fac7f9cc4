// Arguments of the kernels of least_squares.h and normal_equations.h.
#pragma once

#include <cstdint>

#include "unswift/base/integers.h"
#include "unswift/series/derivatives.h"

namespace unswift {

/// Rows come in multiples of this.
inline constexpr int64_t kRowGrain = 16;

/// One problem, column by column. `rows` is a multiple of kRowGrain; padding rows are zero.
struct FactorProblem {
  int64_t rows = 0;             ///< all rows, ridge rows included
  int64_t first_ridge_row = 0;  ///< rows where there is no ridge
  int max_order = 0;
  bool chebyshev = true;
  bool reversed = false;             ///< columns p_max .. p_0, no right-hand side
  double root_ridge = 0.0;           ///< on the diagonal of the ridge rows
  const double* position = nullptr;  ///< [rows]
  const double* alpha = nullptr;     ///< [rows]
  const double* beta = nullptr;      ///< [rows]
  const double* rhs = nullptr;       ///< [rows]
  double* scratch = nullptr;         ///< [2, rows]
  double* columns = nullptr;         ///< [num_cols, rows]
  double* r = nullptr;               ///< [num_cols, num_cols], zero on entry
  double* residual = nullptr;        ///< [max_order + 1]

  int num_cols() const { return max_order + (reversed ? 1 : 2); }
};

/// A row that stands for all beyond one end of the interval.
struct EndRow {
  double position, alpha, beta, rhs;
};
inline constexpr int kMaxEndRows = 6;
inline constexpr int kMaxNormalColumns = kMaxSeriesOrder + 1;  ///< the right-hand side apart

/// The normal equations of a Chebyshev basis. `rows` is a multiple of kRowGrain; padding is zero.
struct NormalProblem {
  int64_t rows = 0;  ///< those without beta
  int max_order = 0;
  const double* position = nullptr;  ///< [rows]
  const double* alpha = nullptr;     ///< [rows]
  const double* rhs = nullptr;       ///< [rows]
  int num_ends = 0;
  EndRow ends[kMaxEndRows];
  double* scratch = nullptr;   ///< [2, rows]
  double* matrix = nullptr;    ///< [max_order + 1, stride()], the right-hand side as last column
  double* residual = nullptr;  ///< [max_order + 1]

  int64_t stride() const { return RoundUp(max_order + 2, 8); }
};

}  // namespace unswift
