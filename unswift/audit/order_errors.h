// How the orders of a unit err, once most of its weights are known: each stored number is its
// coefficient times the weight, a share of the errors of the orders below it (carry rounding hands
// them on), and its own rounding. Source: docs/threat_model.md, "What an attacker computes".
#pragma once

#include <Eigen/Core>
#include <memory>
#include <span>

#include "unswift/audit/block_kernels.h"
#include "unswift/audit/unit_model.h"

namespace unswift {

/// Errors taken apart, order by order: error[n] = sum_{k < n} share(n, k) own[k] + own[n].
struct OwnErrors {
  Eigen::MatrixXd share;     ///< strictly lower triangle
  Eigen::VectorXd variance;  ///< of own[n] / weight
};

/// Working memory of one thread.
class OrderErrors {
 public:
  OrderErrors();

  /// Learns from the rows whose weight is not small; 0 leaves a row out. Shapes: w [rows][16].
  void Learn(const ThetaBlock& block, const float* w);

  /// Of what was learned about a unit of so many stored orders: mean of theta[n] / w, and the
  /// covariance of what is left.
  Eigen::VectorXd Coefficients(int lane, int orders) const;
  Eigen::MatrixXd Covariance(int lane, int orders) const;

 private:
  LaneDoubles coefficient_[kAuditOrders];
  std::unique_ptr<LaneDoubles[][kAuditOrders]> gram_;
};

/// What takes errors apart: own = errors + Weights * errors, strictly lower.
Eigen::MatrixXd WeightsOf(const OwnErrors& own);

/// The estimator w = Theta q of least variance; not finite when there is none.
Eigen::VectorXd LeastVariance(const Eigen::VectorXd& c, const Eigen::MatrixXd& errors);

/// c: coefficients. An own error has no less than a part of the rounding error of a type with so
/// many mantissa bits: an order that is predicted better was taken for the weights themselves.
OwnErrors TakeApart(const Eigen::VectorXd& c, const Eigen::MatrixXd& errors, int theta_bits);

/// Weights up to this size have no relative error to speak of. Shapes: w [rows][16].
void SmallWeights(const ThetaBlock& block, const float* w, LaneFloats& floor);

}  // namespace unswift
