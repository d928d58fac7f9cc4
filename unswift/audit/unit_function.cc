#include "unswift/audit/unit_function.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "unswift/audit/linear_algebra.h"
#include "unswift/audit/mantissa_evidence.h"
#include "unswift/ops/convert.h"

namespace unswift {
namespace {

constexpr int kPoints = 96;
// Of the density of z: Gaussian plus an even share, so that no part of the interval is ignored.
constexpr double kEvenShare = 0.05;
// Above it the guessed density is too far from the one that the fit was made with.
constexpr double kPoorFit = 0.01;
// Above it the scale may be off by half an octave.
constexpr double kNoOctave = 0.1;
// Half width of the range that fits cover at least, in x = z + bias (docs/equations.md, "Fit").
constexpr double kFitReach = 5.0;

struct Sums {
  double weight = 0.0, p = 0.0, phi = 0.0, pp = 0.0, pphi = 0.0, phiphi = 0.0;
};

Sums Accumulate(const std::vector<double>& weight, const std::vector<double>& p,
                const std::vector<double>& phi) {
  Sums s;
  for (size_t i = 0; i < p.size(); ++i) {
    s.weight += weight[i];
    s.p += weight[i] * p[i];
    s.phi += weight[i] * phi[i];
    s.pp += weight[i] * p[i] * p[i];
    s.pphi += weight[i] * p[i] * phi[i];
    s.phiphi += weight[i] * phi[i] * phi[i];
  }
  return s;
}

/// phi ~ factor * p (+ constant).
FunctionFit LinearFit(const std::vector<double>& weight, const std::vector<double>& p,
                      const std::vector<double>& phi, bool with_constant) {
  Sums s = Accumulate(weight, p, phi);
  FunctionFit fit;
  const double mean_p = with_constant ? s.p / s.weight : 0.0;
  const double mean_phi = with_constant ? s.phi / s.weight : 0.0;
  s.pp -= s.weight * mean_p * mean_p;
  s.pphi -= s.weight * mean_p * mean_phi;
  s.phiphi -= s.weight * mean_phi * mean_phi;
  if (!(s.pp > 0.0) || !(s.phiphi > 0.0)) return fit;
  fit.factor = s.pphi / s.pp;
  fit.constant = mean_phi - fit.factor * mean_p;
  double square = 0.0;  // summed directly: the difference of the sums above would cancel
  for (size_t i = 0; i < p.size(); ++i) {
    const double rest = phi[i] - fit.factor * p[i] - fit.constant;
    square += weight[i] * rest * rest;
  }
  fit.residual = std::sqrt(square / s.phiphi);
  return fit;
}

std::vector<double> ActivationAt(Activation activation, const std::vector<double>& z, int sign,
                                 double bias) {
  std::vector<double> phi;
  phi.reserve(z.size());
  for (double value : z) phi.push_back(ActivationValue(activation, sign * value + bias));
  return phi;
}

std::vector<double> FunctionAt(const FunctionSamples& samples, const double* c) {
  std::vector<double> p;
  for (size_t i = 0; i < samples.z.size(); ++i) p.push_back(samples.Value(i, c));
  return p;
}

std::vector<double> Density(const std::vector<double>& z, double mean, double spread,
                            double even_share) {
  std::vector<double> weight;
  for (double value : z) {
    const double t = (value - mean) / spread;
    weight.push_back(std::exp(-0.5 * t * t) + even_share);
  }
  return weight;
}

/// How unlike the polynomial c is to the best fit of phi under these weights, 1 - cos^2.
double ShapeDistance(const FunctionSamples& samples, const std::vector<double>& weight,
                     const std::vector<double>& phi, const Eigen::VectorXd& c) {
  const int orders = samples.num_orders;
  using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const auto points = static_cast<Eigen::Index>(phi.size());
  const Eigen::Map<const Rows> basis(samples.basis.data(), points, orders);
  const Eigen::Map<const Eigen::VectorXd> weights(weight.data(), points),
      values(phi.data(), points);
  const Rows weighted = basis.array().colwise() * weights.array();
  const Eigen::MatrixXd gram = weighted.transpose() * basis;
  const Eigen::VectorXd right = weighted.transpose() * values;
  Eigen::MatrixXd damped = gram;
  damped.diagonal() *= 1.0 + 1e-10;
  const Eigen::VectorXd best = SolveSymmetric(damped, right);
  const double cross = c.dot(gram * best);
  const double product = c.dot(gram * c) * best.dot(gram * best);
  return product > 0.0 ? 1.0 - cross * cross / product : 1.0;
}

/// Looks for the density under which the best polynomial has the shape of c; the factor then comes
/// without the bias that a wrong density gives it.
FunctionFit FitOverDensities(const LayerFacts& facts, const FunctionSamples& samples,
                             const double* c, FunctionFit fit) {
  const std::vector<double> phi = ActivationAt(facts.activation, samples.z, fit.sign, 0.0);
  const std::vector<double> p = FunctionAt(samples, c);
  const Eigen::Map<const Eigen::VectorXd> shape(c, samples.num_orders);
  double best = std::numeric_limits<double>::infinity();
  const double low = samples.z.front(), high = samples.z.back();
  for (int place = 0; place <= 8; ++place) {
    const double mean = low + (high - low) * place / 8.0;
    for (double spread : {0.4, 0.8, 1.6, 3.2}) {
      const std::vector<double> weight = Density(samples.z, mean, spread, 0.01);
      const double distance = ShapeDistance(samples, weight, phi, shape);
      if (!(distance < best)) continue;
      best = distance;
      fit.factor = LinearFit(weight, p, phi, false).factor;
    }
  }
  return fit;
}

FunctionFit FitWithoutBias(const LayerFacts& facts, const FunctionSamples& samples,
                           const double* c) {
  const std::vector<double> p = FunctionAt(samples, c);
  FunctionFit best;
  best.residual = std::numeric_limits<double>::infinity();
  for (int sign : {1, -1}) {
    FunctionFit fit =
        LinearFit(samples.weight, p, ActivationAt(facts.activation, samples.z, sign, 0.0), false);
    fit.sign = sign;
    if (fit.residual < best.residual) best = fit;
  }
  // Where the storage types tell the scale, all that is needed is the octave.
  const bool told = MantissaEvidence::For(facts.series->theta.dtype, facts.weight_dtype) != nullptr;
  const double limit = told ? kNoOctave : kPoorFit;
  return best.residual > limit ? FitOverDensities(facts, samples, c, best) : best;
}

FunctionFit FitAtBias(const LayerFacts& facts, const FunctionSamples& samples,
                      const std::vector<double>& p, int sign, double bias) {
  FunctionFit fit =
      LinearFit(samples.weight, p, ActivationAt(facts.activation, samples.z, sign, bias),
                facts.hidden_constant);
  fit.sign = sign;
  fit.bias = bias;
  return fit;
}

/// The bias by a scan and then golden sections around its best point.
FunctionFit FitWithBias(const LayerFacts& facts, int64_t unit, const FunctionSamples& samples,
                        const double* c) {
  const std::vector<double> p = FunctionAt(samples, c);
  constexpr double kStep = 0.25;
  FunctionFit best;
  best.residual = std::numeric_limits<double>::infinity();
  const auto consider = [&](int sign, double bias) {
    const FunctionFit fit = FitAtBias(facts, samples, p, sign, bias);
    if (fit.residual < best.residual) best = fit;
    return fit.residual;
  };
  for (int sign : {1, -1}) {
    for (double bias = -10.0; bias <= 10.0; bias += kStep) consider(sign, bias);
  }
  const int sign = best.sign;
  double low = best.bias - kStep, high = best.bias + kStep;
  constexpr double kGolden = 0.6180339887498949;
  double a = high - kGolden * (high - low), b = low + kGolden * (high - low);
  double at_a = consider(sign, a), at_b = consider(sign, b);
  while (high - low > 1e-9) {
    if (at_a < at_b) {
      high = b, b = a, at_b = at_a;
      a = high - kGolden * (high - low);
      at_a = consider(sign, a);
    } else {
      low = a, a = b, at_a = at_b;
      b = low + kGolden * (high - low);
      at_b = consider(sign, b);
    }
  }
  // An interval of exactly [-reach, reach] in x = z + bias tells the bias to the last bit.
  const double exact = -sign * static_cast<double>(facts.series->centre[unit]);
  const bool full = std::abs(facts.series->inv_radius[unit] * kFitReach - 1.0) < 1e-5;
  if (full && std::abs(exact - best.bias) < 0.05) {
    const FunctionFit fit = FitAtBias(facts, samples, p, sign, exact);
    if (fit.residual < 1.5 * best.residual) best = fit;
  }
  return best;
}

void AddSpread(const MatrixView& input, const NormWeights& norm, bool layer_norm, int64_t begin,
               int64_t end, LayerFacts& facts) {
  std::vector<float> row(input.cols);
  for (int64_t j = begin; j < end; ++j) {
    FastRowToF32(input.dtype, input.row(j), row);
    double mean = 0.0, square = 0.0;
    for (int64_t i = 0; i < input.cols; ++i) {
      const double scaled = static_cast<double>(row[i]) * norm.weight[i];
      square += scaled * scaled;
      if (layer_norm) mean += static_cast<double>(row[i]) * norm.bias[i];
    }
    facts.z_mean[j] = static_cast<float>(mean);
    facts.z_spread[j] = static_cast<float>(std::max(std::sqrt(square), 1e-3));
  }
}

}  // namespace

LayerFacts FactsOf(const Model& release, int64_t layer, ThreadPool& pool) {
  const LayerWeights& weights = release.layers()[layer];
  const Architecture& architecture = *release.config().architecture;
  LayerFacts facts;
  facts.series = &*weights.mlp.series;
  facts.activation = release.config().hidden_act;
  const bool gated = architecture.mlp == MlpKind::kGated;
  facts.hidden_bias = release.config().mlp_bias;
  facts.hidden_constant = !gated;
  const MatrixView& input = (gated ? weights.mlp.gate_proj : weights.mlp.up_proj).weight;
  facts.weight_dtype = input.dtype;
  const int64_t units = facts.series->protected_units();
  facts.z_mean.assign(units, 0.0f);
  facts.z_spread.assign(units, 1.0f);
  pool.ParallelFor(units, kAuditLanes, [&](int64_t begin, int64_t end) {
    AddSpread(input, weights.post_attention_norm, architecture.norm == NormKind::kLayer, begin, end,
              facts);
  });
  return facts;
}

FunctionSamples SampleUnit(const LayerFacts& facts, int64_t unit) {
  const SeriesWeights& series = *facts.series;
  const double centre = series.centre[unit], radius = 1.0 / series.inv_radius[unit];
  BasisRule rule;
  rule.basis = series.basis;
  FunctionSamples samples;
  samples.num_orders = facts.order(unit) - series.first_order + 1;
  std::array<double, kAuditOrders> values;
  for (int i = 0; i < kPoints; ++i) {
    const double t = -1.0 + 2.0 * i / (kPoints - 1);
    samples.z.push_back(centre + radius * t);
    BasisValues(rule, t, std::span(values).first(facts.order(unit) + 1));
    samples.basis.insert(samples.basis.end(), values.begin() + series.first_order,
                         values.begin() + facts.order(unit) + 1);
  }
  // A Taylor expansion of the paper is good about its centre, a fit where the data were.
  if (series.guard == SeriesGuard::kLinear) {
    samples.weight = Density(samples.z, facts.z_mean[unit], facts.z_spread[unit], kEvenShare);
  } else {
    samples.weight.assign(kPoints, 1.0);
  }
  return samples;
}

std::vector<double> BasisGram(const FunctionSamples& samples) {
  const int orders = samples.num_orders;
  std::vector<double> gram(orders * orders, 0.0);
  for (size_t i = 0; i < samples.z.size(); ++i) {
    const double* row = samples.basis.data() + i * orders;
    for (int n = 0; n < orders; ++n) {
      const double scaled = samples.weight[i] * row[n];
      for (int m = 0; m <= n; ++m) gram[n * orders + m] += scaled * row[m];
    }
  }
  for (int n = 0; n < orders; ++n) {
    for (int m = 0; m < n; ++m) gram[m * orders + n] = gram[n * orders + m];
  }
  return gram;
}

FunctionFit FitActivation(const LayerFacts& facts, int64_t unit, const FunctionSamples& samples,
                          const double* c) {
  return facts.hidden_bias ? FitWithBias(facts, unit, samples, c)
                           : FitWithoutBias(facts, samples, c);
}

}  // namespace unswift
