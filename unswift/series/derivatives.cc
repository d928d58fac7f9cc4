#include "unswift/series/derivatives.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>

#include "unswift/base/check.h"

namespace unswift {
namespace {

// Power series in h, coefficient n at index n.
using PowerSeries = std::vector<double>;

// c = (x + h) * s.
PowerSeries TimesArgument(double x, const PowerSeries& s) {
  PowerSeries c(s.size());
  for (size_t n = 0; n < s.size(); ++n) c[n] = x * s[n] + (n > 0 ? s[n - 1] : 0.0);
  return c;
}

// The logistic function of w(h) for w(0) <= 0, from s' = s (1 - s) w'. `slope` is w' as a
// polynomial. With s(0) <= 1/2 the leading term of s - s^2 dominates, so nothing cancels.
PowerSeries LogisticOfNonPositive(double w0, std::span<const double> slope, int order) {
  PowerSeries s(order + 1), product(order + 1);
  const double e = std::exp(w0);
  s[0] = e / (1.0 + e);
  // s_n - sum_k s_k s_(n-k) = s_n (1 - 2 s_0) - sum of the inner products; 1 - 2 s_0 = tanh(-w0 /
  // 2).
  const double odds = std::tanh(-0.5 * w0);
  product[0] = s[0] / (1.0 + e);
  for (int n = 0; n < order; ++n) {
    if (n > 0) {
      double inner = 0.0;
      for (int k = 1; k < n; ++k) inner += s[k] * s[n - k];
      product[n] = s[n] * odds - inner;
    }
    double sum = 0.0;
    for (int k = 0; k <= n && k < static_cast<int>(slope.size()); ++k)
      sum += slope[k] * product[n - k];
    s[n + 1] = sum / (n + 1);
  }
  return s;
}

// 1 - s(-h), the series of an odd-symmetric step at -x from the one at x.
PowerSeries Mirrored(PowerSeries s, double value_at_zero) {
  for (size_t n = 0; n < s.size(); ++n) {
    if (n % 2 == 0) s[n] = -s[n];
  }
  s[0] = value_at_zero;
  return s;
}

PowerSeries SiluSeries(double x, int order) {
  const double slope[] = {1.0};
  PowerSeries s = LogisticOfNonPositive(-std::abs(x), slope, order);
  if (x > 0) s = Mirrored(std::move(s), 1.0 / (1.0 + std::exp(-x)));
  return TimesArgument(x, s);
}

PowerSeries GeluTanhSeries(double x, int order) {
  // 0.5 (1 + tanh(v)) = logistic(2 v), 2 v = scale (x + cube x^3).
  const double scale = 2.0 * std::sqrt(2.0 / std::numbers::pi);
  const double cube = 0.044715;
  const double y = -std::abs(x);
  const double slope[] = {scale * (1.0 + 3.0 * cube * y * y), scale * 6.0 * cube * y,
                          scale * 3.0 * cube};
  const double w0 = scale * y * (1.0 + cube * y * y);
  PowerSeries s = LogisticOfNonPositive(w0, slope, order);
  if (x > 0) s = Mirrored(std::move(s), 1.0 / (1.0 + std::exp(w0)));
  return TimesArgument(x, s);
}

PowerSeries GeluErfSeries(double x, int order) {
  // Normal density g: (n + 1) g_(n+1) = -(x g_n + g_(n-1)), the recurrence of Hermite polynomials.
  PowerSeries g(order + 1), s(order + 1);
  g[0] = std::exp(-0.5 * x * x) / std::sqrt(2.0 * std::numbers::pi);
  for (int n = 0; n < order; ++n) {
    g[n + 1] = -(x * g[n] + (n > 0 ? g[n - 1] : 0.0)) / (n + 1);
  }
  s[0] = 0.5 * std::erfc(-x * std::numbers::sqrt2 / 2.0);
  for (int n = 1; n <= order; ++n) s[n] = g[n - 1] / n;
  PowerSeries c = TimesArgument(x, s);
  // The same sum with x g_(n-1) taken from the recurrence: c_n = g_(n-2) / (n (n-1)) - g_n.
  for (int n = 2; n <= order; ++n) c[n] = g[n - 2] / (n * (n - 1.0)) - g[n];
  return c;
}

}  // namespace

std::vector<double> TaylorCoefficients(Activation activation, double x, int order) {
  UNSWIFT_CHECK(order >= 0 && order <= kMaxSeriesOrder && std::isfinite(x));
  switch (activation) {
    case Activation::kSilu:
      return SiluSeries(x, order);
    case Activation::kGeluErf:
      return GeluErfSeries(x, order);
    case Activation::kGeluTanh:
      return GeluTanhSeries(x, order);
  }
  UNSWIFT_CHECK(false);
}

std::vector<double> ChebyshevCoefficients(Activation activation, double centre, double radius,
                                          double bias, int order) {
  UNSWIFT_CHECK(order >= 0 && order <= kMaxSeriesOrder && radius > 0 && std::isfinite(radius));
  // phi is analytic within 2.5 of the real axis, so its series on the interval falls at least like
  // exp(-n asinh(2.5 / radius)); M nodes fold coefficient 2 M - n onto n.
  const double decay = std::asinh(2.5 / radius);
  const int num_nodes = 32 + order + static_cast<int>(std::ceil(40.0 / decay));
  std::vector<double> c(order + 1, 0.0);
  for (int k = 0; k < num_nodes; ++k) {
    const double t = std::cos(std::numbers::pi * (k + 0.5) / num_nodes);
    const double value = ActivationValue(activation, centre + radius * t + bias);
    double previous = t, current = 1.0;  // T_(-1) = t, T_0 = 1
    for (int n = 0; n <= order; ++n) {
      c[n] += value * current;
      const double next = 2.0 * t * current - previous;
      previous = current;
      current = next;
    }
  }
  for (int n = 0; n <= order; ++n) c[n] *= (n == 0 ? 1.0 : 2.0) / num_nodes;
  return c;
}

}  // namespace unswift
