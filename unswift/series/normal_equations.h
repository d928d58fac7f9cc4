// The errors of a unit's best fits of all orders, by the normal equations. Internal to series/.
//
// Products of Chebyshev polynomials are sums of two, so the matrix of the equations has only 2 N +
// 1 moments: a pass of N steps over the rows, where the orthogonal factor of least_squares.h takes
// N^2. The share of the weights that is spread evenly keeps the matrix far from singular for nearly
// all units.
#pragma once

#include <vector>

#include "unswift/ops/aligned_buffer.h"
#include "unswift/series/least_squares.h"

namespace unswift {

class NormalEquations {
 public:
  /// Residuals of a Chebyshev basis with the linear guard for orders 0 .. order. False, and nothing
  /// to be read, when so much cancels on the way that the factor of the rows themselves is needed.
  bool Solve(const SampleRows& rows, int order);

  /// Weighted squared error of the best fit of order `n`.
  double residual(int n) const { return residual_[n]; }

 private:
  AlignedBuffer memory_;
  std::vector<double> residual_;
};

}  // namespace unswift
