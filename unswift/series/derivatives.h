// Power series and Chebyshev series of the activation functions.
#pragma once

#include <vector>

#include "unswift/ops/activation.h"

namespace unswift {

/// Highest order of a series anywhere in this library.
inline constexpr int kMaxSeriesOrder = 32;

/// phi^(n)(x) / n! for n = 0..order, by power-series recurrences (no symbolic derivatives).
/// order in [0, kMaxSeriesOrder], x finite. Accuracy: see docs/equations.md and
/// derivatives_test.cc. Source: arXiv 2410.05331 eq. 4 (the coefficients); the recurrences follow
/// from s' = s(1 - s) for the logistic function s and g' = -x g for the normal density g.
std::vector<double> TaylorCoefficients(Activation activation, double x, int order);

/// Coefficients c_n, n = 0..order, of the Chebyshev series of t -> phi(centre + radius t + bias) on
/// [-1, 1] (c_0 not halved: phi = sum c_n T_n), by Chebyshev-Gauss quadrature with enough nodes for
/// full double precision. radius > 0. Cost: O(radius + order) evaluations of phi.
std::vector<double> ChebyshevCoefficients(Activation activation, double centre, double radius,
                                          double bias, int order);

}  // namespace unswift
