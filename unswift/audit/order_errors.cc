#include "unswift/audit/order_errors.h"

#include <algorithm>
#include <cmath>

#include "unswift/audit/linear_algebra.h"

namespace unswift {
namespace {

// Weights below this share of the column's root mean square have no relative error to speak of.
constexpr double kSmall = 0.05;
// Least own error of an order, in units of its type's rounding error.
constexpr double kLeastRounding = 0.3;

}  // namespace

OrderErrors::OrderErrors() : gram_(std::make_unique<LaneDoubles[][kAuditOrders]>(kAuditOrders)) {}

void OrderErrors::Learn(const ThetaBlock& block, const float* w) {
  alignas(64) LaneFloats floor;
  SmallWeights(block, w, floor);
  RelativeResiduals(block, w, floor, coefficient_, gram_.get());
}

Eigen::VectorXd OrderErrors::Coefficients(int lane, int orders) const {
  Eigen::VectorXd c(orders);
  for (int n = 0; n < orders; ++n) c[n] = coefficient_[n][lane];
  return c;
}

Eigen::MatrixXd OrderErrors::Covariance(int lane, int orders) const {
  return LaneGram(gram_.get(), orders, lane);
}

void SmallWeights(const ThetaBlock& block, const float* w, LaneFloats& floor) {
  LaneDoubles square = {};
  for (int64_t i = 0; i < block.rows; ++i) {
    for (int lane = 0; lane < kAuditLanes; ++lane) {
      const double value = w[i * kAuditLanes + lane];
      square[lane] += value * value;
    }
  }
  for (int lane = 0; lane < kAuditLanes; ++lane) {
    const double mean = square[lane] / static_cast<double>(block.rows);
    floor[lane] = static_cast<float>(kSmall * std::sqrt(mean));
  }
}

Eigen::VectorXd LeastVariance(const Eigen::VectorXd& c, const Eigen::MatrixXd& errors) {
  const double smallest = 1e-9 * c.cwiseAbs().maxCoeff();
  const Eigen::VectorXd inverse = errors.diagonal().cwiseSqrt().cwiseMax(smallest).cwiseInverse();
  Eigen::MatrixXd scaled = inverse.asDiagonal() * errors * inverse.asDiagonal();
  scaled.diagonal().array() += 1e-6;
  const Eigen::VectorXd q = inverse.cwiseProduct(SolveSymmetric(scaled, inverse.cwiseProduct(c)));
  return q / q.dot(c);
}

Eigen::MatrixXd WeightsOf(const OwnErrors& own) {
  const Eigen::Index orders = own.variance.size();
  Eigen::MatrixXd weights = Eigen::MatrixXd::Zero(orders, orders);
  for (Eigen::Index n = 0; n < orders; ++n) {
    for (Eigen::Index k = 0; k < n; ++k) {
      double sum = own.share(n, k);
      for (Eigen::Index l = k + 1; l < n; ++l) sum += own.share(n, l) * weights(l, k);
      weights(n, k) = -sum;
    }
  }
  return weights;
}

OwnErrors TakeApart(const Eigen::VectorXd& c, const Eigen::MatrixXd& errors, int theta_bits) {
  const double least = kLeastRounding * std::ldexp(1.0 / std::sqrt(3.0), -theta_bits - 2);
  const Eigen::Index orders = c.size();
  OwnErrors own{Eigen::MatrixXd::Zero(orders, orders), Eigen::VectorXd(orders)};
  for (Eigen::Index n = 0; n < orders; ++n) {
    double left = errors(n, n);
    for (Eigen::Index k = 0; k < n; ++k) {
      double cross = errors(n, k);
      for (Eigen::Index l = 0; l < k; ++l)
        cross -= own.share(n, l) * own.share(k, l) * own.variance[l];
      own.share(n, k) = cross / own.variance[k];
      left -= own.share(n, k) * cross;
    }
    const double size = std::sqrt(c[n] * c[n] + errors(n, n));
    own.variance[n] = std::max(left, least * least * size * size + 1e-300);
  }
  return own;
}

}  // namespace unswift
