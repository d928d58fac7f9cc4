// Arguments of the least-squares kernels.
#pragma once

#include <cstdint>

namespace unswift {

/// Eight problems, the lane as last index. `rows` is a multiple of 4; padding rows are zero.
struct LaneProblem {
  int64_t rows = 0;  ///< all rows, ridge rows included
  int64_t first_ridge_row = 0;
  int max_order = 0;
  bool chebyshev = true;
  bool reversed = false;               ///< columns p_max .. p_0, no right-hand side
  const double* position = nullptr;    ///< [rows, 8]
  const double* alpha = nullptr;       ///< [rows, 8]
  const double* beta = nullptr;        ///< [rows, 8]
  const double* rhs = nullptr;         ///< [rows, 8]
  const double* has_order = nullptr;   ///< [max_order + 1, 8], 1 or 0
  const double* root_ridge = nullptr;  ///< [8]
  double* scratch = nullptr;           ///< [2, rows, 8]
  double* columns = nullptr;           ///< [num_cols, rows, 8]
  double* r = nullptr;                 ///< [num_cols, num_cols, 8], zero on entry, any alignment
  double* residual = nullptr;          ///< [max_order + 1, 8], any alignment

  int num_cols() const { return max_order + (reversed ? 1 : 2); }
};

}  // namespace unswift
