// What a block's orders say about one unit, before any row is looked at again.
#pragma once

#include <Eigen/Core>
#include <array>

#include "unswift/audit/block_kernels.h"
#include "unswift/audit/unit_function.h"

namespace unswift {

/// Per-order numbers of one unit, stored orders first.
using OrderValues = std::array<double, kAuditOrders>;

struct UnitModel {
  FunctionFit fit;
  int num_orders = 0;           ///< stored ones
  double rank1_residual = 0.0;  ///< share of Theta that is not w c^T, each order scaled alike
  OrderValues c{};              ///< Theta ~ w c^T
  OrderValues functional{};     ///< w = Theta q, metric of the function of z
  OrderValues relative{};       ///< w = Theta q, metric of relative errors
  OrderValues by_error{};       ///< w = Theta q, weighted by residuals
  bool nearest = false;         ///< rounded plainly, so that `relative` is the better one
  bool dead = true;             ///< Theta is zero: so is the weight

  /// The better of the two metrics for this release, at the activation's scale.
  const OrderValues& least_squares() const { return nearest ? relative : functional; }
};

/// The unit's model from its orders' Gram matrix (gram[n][m][lane] of GramOfOrders).
/// Carry-rounded orders are far from w c^T one by one, but their sum is not: hence `functional`.
/// Source: docs/threat_model.md, "What an attacker computes".
UnitModel ModelOfUnit(const LayerFacts& facts, int64_t unit,
                      const LaneDoubles (*gram)[kAuditOrders], int lane);

/// The first `orders` orders of one lane's Gram matrix, symmetric.
Eigen::MatrixXd LaneGram(const LaneDoubles (*gram)[kAuditOrders], int orders, int lane);

/// factor * from, 0 beyond.
void CopyOrders(const Eigen::VectorXd& from, double factor, OrderValues& to);

}  // namespace unswift
