// Weights that orders agree with: on every instruction set, against a plain version in double.
#include "unswift/audit/order_consistency.h"

#include <memory>

#include "tests/ops/kernel_test.h"

namespace unswift {
namespace {

constexpr int kRows = 400, kOrders = 9;

float ToBf16(double value) { return Bf16ToF32(F32ToBf16(static_cast<float>(value))); }

/// Half a step of a bf16 number.
double HalfStep(double value) { return std::ldexp(1.0, std::ilogb(value) - 8); }

/// Sixteen units whose orders hand their errors on, all in bf16.
class OrderConsistencyTest : public EveryTarget {
 protected:
  OrderConsistencyTest() : units_(kAuditLanes) {
    Random random(7);
    const auto at = [&](int64_t row, int lane) { return row * kAuditLanes + lane; };
    w_.resize(kRows * kAuditLanes);
    values_.resize(kRows * kOrders * kAuditLanes);
    for (int lane = 0; lane < kAuditLanes; ++lane) {
      units_[lane].dead = false;
      units_[lane].num_orders = kOrders;
      for (int n = 0; n < kOrders; ++n) {
        prediction_->slope[n][lane] = static_cast<float>(random.NextNormal());
        for (int k = 0; k < n; ++k) {
          share_[n][k][lane] = 0.5 * random.NextNormal();
        }
      }
      TakeWeights(lane);
      for (int64_t i = 0; i < kRows; ++i) {
        const float w = w_[at(i, lane)] = ToBf16(0.1 * random.NextNormal());
        double own[kOrders];
        for (int n = 0; n < kOrders; ++n) {
          double value = prediction_->slope[n][lane] * w;
          for (int k = 0; k < n; ++k) value += share_[n][k][lane] * own[k];
          const float stored = ToBf16(value);
          own[n] = stored - value;
          values_[(i * kOrders + n) * kAuditLanes + lane] = stored;
        }
      }
    }
    block_ = {0, kAuditLanes, 0, kOrders, kRows, values_.data()};
  }

  void TakeWeights(int lane) {
    OwnErrors own{Eigen::MatrixXd::Zero(kOrders, kOrders), Eigen::VectorXd::Ones(kOrders)};
    for (int n = 0; n < kOrders; ++n) {
      for (int k = 0; k < n; ++k) own.share(n, k) = share_[n][k][lane];
    }
    const Eigen::MatrixXd weights = WeightsOf(own);
    for (int n = 0; n < kOrders; ++n) {
      double response = prediction_->slope[n][lane];
      for (int k = 0; k < n; ++k) {
        prediction_->weight[n][k][lane] = static_cast<float>(weights(n, k));
        response += weights(n, k) * prediction_->slope[k][lane];
      }
      prediction_->response[n][lane] = static_cast<float>(response);
    }
  }

  /// The weights with every `every`-th one a step off.
  std::vector<float> Disturbed(int every) const {
    std::vector<float> w = w_;
    for (size_t i = 0; i < w.size(); i += every) {
      const uint16_t stored = F32ToBf16(w[i]);
      w[i] = Bf16ToF32(static_cast<uint16_t>(i % 2 == 0 ? stored + 1 : stored - 1));
    }
    return w;
  }
  static double ShareOfEqual(const std::vector<float>& a, const std::vector<float>& b) {
    double equal = 0.0;
    for (size_t i = 0; i < a.size(); ++i) equal += a[i] == b[i] ? 1.0 : 0.0;
    return equal / static_cast<double>(a.size());
  }
  double Excess(int64_t row, int lane, double w) const {
    double own[kOrders], sum = 0.0;
    for (int n = 0; n < kOrders; ++n) {
      const double theta = values_[(row * kOrders + n) * kAuditLanes + lane];
      own[n] = theta - prediction_->slope[n][lane] * w;
      for (int k = 0; k < n; ++k) own[n] -= share_[n][k][lane] * own[k];
      const double noise = std::abs(w) / prediction_->inverse_noise[n][lane];
      const double over = std::abs(own[n]) / std::max(HalfStep(theta), noise) - 1.0;
      sum += std::min(std::pow(std::max(over, 0.0), 2), 100.0);
    }
    return sum;
  }

  std::vector<float> w_, values_;
  double share_[kOrders][kOrders][kAuditLanes] = {};  // of an order's own error in those above
  std::unique_ptr<OrderPrediction> prediction_ = std::make_unique<OrderPrediction>();
  std::vector<UnitModel> units_;
  ThetaBlock block_;
};

TEST_P(OrderConsistencyTest, RelativeRounding) {
  alignas(64) LaneFloats floor;
  std::fill(floor, floor + kAuditLanes, 0.02f);
  LaneDoubles square[kOrders];
  RelativeRounding(block_, 7, w_.data(), floor, square);
  for (int n = 0; n < kOrders; ++n) {
    for (int lane = 0; lane < kAuditLanes; ++lane) {
      double sum = 0.0, rows = 0.0;
      for (int64_t i = 0; i < kRows; ++i) {
        const double w = w_[i * kAuditLanes + lane];
        if (std::abs(w) <= 0.02f) continue;
        const double half = HalfStep(values_[(i * kOrders + n) * kAuditLanes + lane]) / w;
        sum += half * half / 3.0, rows += 1.0;
      }
      EXPECT_NEAR(square[n][lane], sum / rows, 1e-6 * sum / rows);
    }
  }
}

TEST_P(OrderConsistencyTest, FindsRowsWhoseLowestOrderIsInDoubt) {
  LaneDoubles c;
  for (int lane = 0; lane < kAuditLanes; ++lane) c[lane] = prediction_->slope[0][lane];
  std::vector<uint8_t> doubtful(kRows);
  int found = 0;
  const std::vector<float> w = Disturbed(37);
  FindDoubtfulRows(block_, 7, c, w.data(), doubtful.data());
  for (int64_t i = 0; i < kRows; ++i) {
    bool wrong = false;
    for (int lane = 0; lane < kAuditLanes; ++lane) {
      const double theta = values_[i * kOrders * kAuditLanes + lane];
      wrong |= std::abs(theta - c[lane] * w[i * kAuditLanes + lane]) > HalfStep(theta);
    }
    EXPECT_GE(doubtful[i], wrong ? 1 : 0) << i;
    found += doubtful[i];
  }
  EXPECT_LT(found, kRows / 2);
}

TEST_P(OrderConsistencyTest, ChoosesWhatExceedsRoundingLeast) {
  for (int n = 0; n < kOrders; ++n) {
    for (float& noise : prediction_->inverse_noise[n]) noise = 1000.0f;
  }
  std::vector<float> w = Disturbed(5), excess(w.size());
  ChooseConsistent(block_, *prediction_, {7, 7}, w_.data(), w.data(), excess.data());
  EXPECT_EQ(w, w_);
  for (size_t i = 0; i < w.size(); ++i) {
    const double want = Excess(static_cast<int64_t>(i) / kAuditLanes, i % kAuditLanes, w[i]);
    EXPECT_NEAR(excess[i], want, 1e-3) << i;
  }
}

TEST_P(OrderConsistencyTest, LearnsFromWeightsOfWhichSomeAreWrong) {
  OrderConsistency consistency({7, 7});
  std::vector<float> w = Disturbed(10);
  alignas(64) LaneFloats contradicted;
  consistency.Settle(block_, units_, w_.data(), w.data(), contradicted);
  EXPECT_GT(ShareOfEqual(w, w_), 0.9999);
  for (float share : contradicted) EXPECT_LT(share, OrderConsistency::kConsistent);
}

TEST_P(OrderConsistencyTest, ContradictsAWrongScale) {
  OrderConsistency consistency({7, 7});
  std::vector<float> w = w_;
  for (float& value : w) value = ToBf16(1.037 * value);
  const std::vector<float> estimate = w;
  alignas(64) LaneFloats contradicted;
  consistency.Settle(block_, units_, estimate.data(), w.data(), contradicted);
  // Some of these invented units have hardly an order that tells.
  float sum = 0.0f;
  for (float share : contradicted) {
    EXPECT_GT(share, 0.15f);
    sum += share;
  }
  EXPECT_GT(sum / kAuditLanes, 0.5f);
}

UNSWIFT_INSTANTIATE_FOR_EVERY_TARGET(OrderConsistencyTest);

}  // namespace
}  // namespace unswift
