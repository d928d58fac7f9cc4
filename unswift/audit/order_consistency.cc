#include "unswift/audit/order_consistency.h"

#include <algorithm>
#include <cmath>

namespace unswift {
namespace {

constexpr int kRounds = 8;
// Share of rows that may still move without teaching anything new.
constexpr double kFewMoved = 0.005;
// Squared excess of half a step that learned predictions do not reach by themselves.
constexpr float kContradiction = 0.25f;

}  // namespace

OrderConsistency::OrderConsistency(const MantissaWidths& bits)
    : bits_(bits), prediction_(std::make_unique<OrderPrediction>()) {}

void OrderConsistency::Predict(std::span<const UnitModel> units) {
  for (int lane = 0; lane < kAuditLanes; ++lane) {
    if (units[lane].dead) continue;
    const int orders = units[lane].num_orders;
    const Eigen::VectorXd c = errors_.Coefficients(lane, orders);
    Eigen::MatrixXd errors = errors_.Covariance(lane, orders);
    // Of plain rounding nothing is handed on, and shares would only excuse a wrong weight.
    if (units[lane].nearest) errors = errors.diagonal().asDiagonal();
    const OwnErrors own = TakeApart(c, errors, bits_.theta);
    const Eigen::MatrixXd weights = WeightsOf(own);
    const Eigen::VectorXd response = c + weights * c;
    // The block may have orders that the unit does not: zeros, of which nothing is expected.
    for (int n = 0; n < kAuditOrders; ++n) {
      const bool has = n < orders;
      prediction_->slope[n][lane] = has ? static_cast<float>(c[n]) : 0.0f;
      prediction_->response[n][lane] = has ? static_cast<float>(response[n]) : 0.0f;
      for (int k = 0; k < n; ++k) {
        prediction_->weight[n][k][lane] = has ? static_cast<float>(weights(n, k)) : 0.0f;
      }
      learned_[n][lane] = has ? own.variance[n] : 0.0;
    }
  }
}

void OrderConsistency::Allow(const ThetaBlock& block, Tolerance tolerance) {
  for (int n = 0; n < block.num_orders; ++n) {
    for (int lane = 0; lane < kAuditLanes; ++lane) {
      const double learned = tolerance == Tolerance::kLearned ? learned_[n][lane] : 0.0;
      const double variance = std::max({rounding_[n][lane], learned, 1e-300});
      prediction_->inverse_noise[n][lane] = static_cast<float>(1.0 / std::sqrt(variance));
    }
  }
}

bool OrderConsistency::ManyMoved(int64_t rows, const float* w) const {
  int64_t moved[kAuditLanes] = {};
  for (size_t i = 0; i < before_.size(); ++i) moved[i % kAuditLanes] += w[i] != before_[i] ? 1 : 0;
  return *std::max_element(moved, moved + kAuditLanes) > kFewMoved * static_cast<double>(rows);
}

void OrderConsistency::Settle(const ThetaBlock& block, std::span<const UnitModel> units,
                              const float* estimate, float* w, LaneFloats& contradicted) {
  const size_t size = static_cast<size_t>(block.rows) * kAuditLanes;
  excess_.resize(size);
  alignas(64) LaneFloats floor;
  SmallWeights(block, w, floor);
  RelativeRounding(block, bits_.theta, w, floor, rounding_);
  for (int round = 0; round < kRounds; ++round) {
    before_.assign(w, w + size);
    // From all rows: leaving out those that look wrong now makes the others look too certain. As
    // long as some are wrong, the orders' errors are larger than rounding makes them.
    errors_.Learn(block, w);
    Predict(units);
    Allow(block, Tolerance::kLearned);
    ChooseConsistent(block, *prediction_, bits_, estimate, w, excess_.data());
    if (!ManyMoved(block.rows, w)) break;
  }
  // Judged more strictly than chosen: errors larger than rounding makes them must not excuse
  // themselves.
  Allow(block, Tolerance::kRounding);
  before_.assign(w, w + size);
  ChooseConsistent(block, *prediction_, bits_, estimate, before_.data(), excess_.data());
  Allow(block, Tolerance::kLearned);
  std::fill_n(contradicted, kAuditLanes, 0.0f);
  for (size_t i = 0; i < size; ++i) {
    const bool wrong = excess_[i] > kContradiction;
    contradicted[i % kAuditLanes] += wrong ? 1.0f / static_cast<float>(block.rows) : 0.0f;
  }
}

}  // namespace unswift
