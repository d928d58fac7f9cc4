#include "unswift/audit/unit_model.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "unswift/series/derivatives.h"

namespace unswift {
namespace {

/// Whether a release was rounded plainly, from the share of theta that is not w c^T.
bool IsNearest(DType theta, double rank1_residual) {
  switch (theta) {
    case DType::kF32:
      return true;
    case DType::kF16:
      return rank1_residual < 5e-4;
    case DType::kBF16:
      return rank1_residual < 3e-3;
    default:
      return false;
  }
}

/// Top eigenvector of the Gram matrix with every order scaled to the same size; returns the share
/// of the rest. Orders without any entry get 0.
double RelativeRank1(const Eigen::MatrixXd& gram, Eigen::VectorXd& top) {
  const int orders = static_cast<int>(gram.rows());
  Eigen::VectorXd inverse(orders);
  double used = 0.0;
  for (int n = 0; n < orders; ++n) {
    inverse[n] = gram(n, n) > 0.0 ? 1.0 / std::sqrt(gram(n, n)) : 0.0;
    used += gram(n, n) > 0.0 ? 1.0 : 0.0;
  }
  const Eigen::MatrixXd scaled = inverse.asDiagonal() * gram * inverse.asDiagonal();
  // Started from the column that agrees best with all others.
  int start = 0;
  for (int n = 1; n < orders; ++n) {
    if (scaled.col(n).lpNorm<1>() > scaled.col(start).lpNorm<1>()) start = n;
  }
  top = scaled.col(start).normalized();
  double value = 0.0;
  for (int i = 0; i < 60; ++i) {
    Eigen::VectorXd next = scaled * top;
    value = next.norm();
    next /= value;
    const double change = (next - top).squaredNorm();
    top = next;
    if (change < 1e-28) break;
  }
  return std::sqrt(std::max(0.0, 1.0 - value / used));
}

/// Least squares with every order weighted by its mean squared residual. gram: of the orders;
/// c, q: a first solution, Theta ~ w c^T with w = Theta q.
Eigen::VectorXd ReweightedByError(const Eigen::MatrixXd& gram, Eigen::VectorXd c,
                                  Eigen::VectorXd q) {
  for (int round = 0; round < 4; ++round) {
    const Eigen::VectorXd cross = gram * q;
    const double square = q.dot(cross);
    c = cross / square;
    for (Eigen::Index n = 0; n < c.size(); ++n) {
      const double residual = gram(n, n) - 2.0 * c[n] * cross[n] + c[n] * c[n] * square;
      q[n] = c[n] / std::max(residual, 1e-6 * gram(n, n) + 1e-300);
    }
    q /= q.dot(c);
  }
  return q;
}

/// Whether the orders cancel so far that they cannot be told from each other together: Taylor
/// series of high order. The lowest alone is still the plainly rounded w P(centre).
bool OrdersCancel(const LayerFacts& facts, const Eigen::MatrixXd& moments, const FunctionFit& fit) {
  constexpr double kPoorFit = 0.004;
  constexpr int kHighOrder = 18;
  const SeriesWeights& series = *facts.series;
  return series.basis == SeriesBasis::kTaylor && series.first_order == 0 && !facts.hidden_bias &&
         moments.rows() > kHighOrder && moments(0, 0) > 0.0 && fit.residual > kPoorFit;
}

/// Then the scale is told by phi(centre), or where that is next to nothing by the slope there; the
/// sign by the ratio to the order above, unless the fit knows it.
void TrustLowestOrder(const LayerFacts& facts, int64_t unit, const Eigen::MatrixXd& moments,
                      UnitModel& model) {
  constexpr double kKnowsSign = 0.3, kLeastValue = 0.05;
  constexpr double kDoubt = 0.01;  // P(centre) is that of a fit, not phi's own
  const double centre = facts.series->centre[unit], radius = 1.0 / facts.series->inv_radius[unit];
  const Eigen::VectorXd c = moments.col(0) / moments(0, 0);  // relative to the lowest
  const FunctionFit fit = model.fit;
  const bool has_value = std::abs(ActivationValue(facts.activation, centre)) > kLeastValue;
  const int known = has_value ? 0 : 1;
  double least = std::numeric_limits<double>::infinity();
  for (int sign : {1, -1}) {
    std::vector<double> phi = TaylorCoefficients(facts.activation, sign * centre, known + 1);
    for (size_t n = 0; n < phi.size(); ++n) phi[n] *= std::pow(sign * radius, n);
    const double distance = std::abs(phi[known + 1] / phi[known] - c[known + 1] / c[known]);
    const bool excluded = fit.residual < kKnowsSign && sign != fit.sign;
    if (excluded || !(distance < least)) continue;
    least = distance;
    model.fit = {.factor = phi[known] / c[known], .sign = sign, .residual = kDoubt};
  }
  CopyOrders(c, model.fit.factor, model.c);
  model.functional.fill(0.0);
  model.functional[0] = 1.0 / model.fit.factor;
  model.relative = model.by_error = model.functional;
}

}  // namespace

Eigen::MatrixXd LaneGram(const LaneDoubles (*gram)[kAuditOrders], int orders, int lane) {
  Eigen::MatrixXd matrix(orders, orders);
  for (int n = 0; n < orders; ++n) {
    for (int m = 0; m <= n; ++m) matrix(n, m) = matrix(m, n) = gram[n][m][lane];
  }
  return matrix;
}

void CopyOrders(const Eigen::VectorXd& from, double factor, OrderValues& to) {
  to.fill(0.0);
  for (Eigen::Index n = 0; n < from.size(); ++n) to[n] = factor * from[n];
}

UnitModel ModelOfUnit(const LayerFacts& facts, int64_t unit,
                      const LaneDoubles (*gram)[kAuditOrders], int lane) {
  UnitModel model;
  const FunctionSamples samples = SampleUnit(facts, unit);
  const int orders = samples.num_orders;
  model.num_orders = orders;
  const Eigen::MatrixXd moments = LaneGram(gram, orders, lane);
  if (!(moments.trace() > 0.0)) return model;
  model.dead = false;
  Eigen::VectorXd top(orders);
  model.rank1_residual = RelativeRank1(moments, top);
  model.nearest = IsNearest(facts.series->theta.dtype, model.rank1_residual);
  const Eigen::VectorXd size = moments.diagonal().cwiseSqrt();
  Eigen::VectorXd c = top.cwiseProduct(size);

  // Power iteration in the metric of the function, where a carried error is small again.
  const std::vector<double> basis_gram = BasisGram(samples);
  const Eigen::Map<const Eigen::MatrixXd> metric(basis_gram.data(), orders, orders);
  Eigen::VectorXd q(orders);
  for (int i = 0; i < 20; ++i) {
    q = metric * c;
    q /= c.dot(q);
    c = moments * q;
    c /= q.dot(c);
  }
  q = metric * c;
  q /= c.dot(q);
  model.fit = FitActivation(facts, unit, samples, c.data());
  CopyOrders(c, model.fit.factor, model.c);
  CopyOrders(q, 1.0 / model.fit.factor, model.functional);
  CopyOrders(ReweightedByError(moments, c, q), 1.0 / model.fit.factor, model.by_error);
  // Errors relative to each order's own size: every order tells w equally well.
  Eigen::VectorXd relative(orders);
  for (int n = 0; n < orders; ++n) relative[n] = size[n] > 0.0 ? top[n] / size[n] : 0.0;
  CopyOrders(relative, 1.0 / (model.fit.factor * relative.dot(c)), model.relative);
  if (OrdersCancel(facts, moments, model.fit)) TrustLowestOrder(facts, unit, moments, model);
  return model;
}

}  // namespace unswift
