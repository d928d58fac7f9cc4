// Weights that all orders agree with. Given the right weights, every stored number is predicted by
// the orders below it to within its own rounding, however low or high the order; a wrong weight, or
// a wrong scale, is contradicted by many orders at once. So this both corrects single weights and
// tells whether a unit's result can be right at all, without knowing the original.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "unswift/audit/order_errors.h"

namespace unswift {

/// Working memory of one thread. For theta and weights of f16 or bf16.
class OrderConsistency {
 public:
  /// A unit is consistent when no larger share of rows contradicts its orders. (The prediction is
  /// learned from the rows, hence a little off itself.)
  static constexpr float kConsistent = 0.25f;

  explicit OrderConsistency(const MantissaWidths& bits);

  /// Learns how the orders err and moves weights to where the orders agree, in turns, until nothing
  /// changes. contradicted: share of a unit's rows that no choice explains.
  /// Shapes: units [16]; estimate (of the weights, before rounding), w [rows][16].
  void Settle(const ThetaBlock& block, std::span<const UnitModel> units, const float* estimate,
              float* w, LaneFloats& contradicted);
  /// What the last Settle learned.
  const OrderPrediction& prediction() const { return *prediction_; }

 private:
  void Predict(std::span<const UnitModel> units);
  /// How much of an order's own error is taken for noise of the prediction: what was learned, or
  /// no more than rounding makes.
  enum class Tolerance { kLearned, kRounding };
  void Allow(const ThetaBlock& block, Tolerance tolerance);

  /// Whether what was learned from the weights before no longer holds.
  bool ManyMoved(int64_t rows, const float* w) const;

  const MantissaWidths bits_;
  OrderErrors errors_;
  LaneDoubles rounding_[kAuditOrders];      // RelativeRounding's
  LaneDoubles learned_[kAuditOrders] = {};  // variance of own errors / w
  std::unique_ptr<OrderPrediction> prediction_;
  std::vector<float> excess_, before_;
};

}  // namespace unswift
