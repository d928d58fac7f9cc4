// Arguments of the least-squares kernels.
#pragma once

#include <cstdint>

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

}  // namespace unswift
