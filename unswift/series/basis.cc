#include "unswift/series/basis.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "unswift/base/check.h"
#include "unswift/series/derivatives.h"

namespace unswift {

void BasisValues(const BasisRule& rule, double t, std::span<double> values) {
  const bool guarded = rule.guard == SeriesGuard::kLinear;
  const bool chebyshev = rule.basis == SeriesBasis::kChebyshev;
  const double inside = guarded ? std::clamp(t, -1.0, 1.0) : t;
  const double excess = guarded ? std::max(std::abs(t) - 1.0, 0.0) : 0.0;
  double previous = inside, current = 1.0;
  for (size_t n = 0; n < values.size(); ++n) {
    // p_n(+-1) = (+-1)^n and p_n'(+-1) = (+-1)^(n-1) slope: the continuation is a factor.
    const double slope = chebyshev ? static_cast<double>(n * n) : static_cast<double>(n);
    values[n] = current * (1.0 + slope * excess);
    const double next = chebyshev ? 2.0 * inside * current - previous : inside * current;
    previous = current;
    current = next;
  }
  if (rule.guard == SeriesGuard::kTruncate && std::abs(t) > rule.cutoff) {
    for (size_t n = rule.cutoff_order + 1; n < values.size(); ++n) values[n] = 0.0;
  }
}

double SeriesValue(const BasisRule& rule, std::span<const double> coefficients, double t) {
  std::array<double, kMaxSeriesOrder + 1> values;
  UNSWIFT_CHECK(coefficients.size() <= values.size());
  BasisValues(rule, t, std::span(values).first(coefficients.size()));
  double sum = 0.0;
  for (size_t n = 0; n < coefficients.size(); ++n) sum += coefficients[n] * values[n];
  return sum;
}

}  // namespace unswift
