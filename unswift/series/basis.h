// The basis functions p_n of the series MLP in double precision: what a fit is made in.
#pragma once

#include <span>

#include "unswift/ops/series_mlp.h"

namespace unswift {

/// Basis and guard of one unit, in the variable t = (z - centre) / radius.
struct BasisRule {
  SeriesBasis basis = SeriesBasis::kChebyshev;
  SeriesGuard guard = SeriesGuard::kLinear;
  double cutoff = 0.0;   ///< kTruncate only, in units of t: cutoff in z divided by the radius
  int cutoff_order = 0;  ///< kTruncate only: orders above it vanish where |t| > cutoff
};

/// values[n] = p_n(t) for n = 0..values.size() - 1.
/// Source: docs/equations.md, "Basis" and "Guard".
void BasisValues(const BasisRule& rule, double t, std::span<double> values);

/// sum_n coefficients[n] p_n(t).
double SeriesValue(const BasisRule& rule, std::span<const double> coefficients, double t);

}  // namespace unswift
