#include "unswift/series/allocation.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "unswift/base/check.h"

namespace unswift {
namespace {

// One edge of a unit's lower convex hull.
struct HullStep {
  double gain_per_order;
  int32_t unit;
  int8_t from, to;
};

class Allocator {
 public:
  Allocator(std::span<const double> errors, std::span<const double> weights, int min_order,
            int max_order)
      : weights_(weights), min_order_(min_order), max_order_(max_order), stride_(max_order + 1) {
    cost_.resize(errors.size());
    for (size_t j = 0; j < weights.size(); ++j) {
      // Best fits never get worse with the order; what rounding says otherwise is smoothed out.
      double least = errors[j * stride_];
      for (int n = 0; n <= max_order; ++n) {
        least = std::min(least, errors[j * stride_ + n]);
        cost_[j * stride_ + n] = least * weights[j];
      }
    }
  }

  std::vector<int32_t> Run(int64_t budget) {
    const int64_t num_units = static_cast<int64_t>(weights_.size());
    orders_.assign(num_units, min_order_);
    left_ =
        std::clamp(budget, num_units * min_order_, num_units * max_order_) - num_units * min_order_;
    TakeHullSteps();
    while (left_ > 0) TakeBestPartialStep();
    return std::move(orders_);
  }

 private:
  double Gain(int64_t unit, int from, int to) const {
    const double* cost = cost_.data() + unit * stride_;
    return (cost[from] - cost[to]) / (to - from);
  }

  void AppendHull(int32_t unit, std::vector<HullStep>& steps) const {
    for (int from = min_order_; from < max_order_;) {
      int best = from + 1;
      for (int to = from + 2; to <= max_order_; ++to) {
        if (Gain(unit, from, to) > Gain(unit, from, best)) best = to;
      }
      steps.push_back(
          {Gain(unit, from, best), unit, static_cast<int8_t>(from), static_cast<int8_t>(best)});
      from = best;
    }
  }

  void TakeHullSteps() {
    std::vector<HullStep> steps;
    for (size_t j = 0; j < weights_.size(); ++j) AppendHull(static_cast<int32_t>(j), steps);
    std::sort(steps.begin(), steps.end(), [](const HullStep& a, const HullStep& b) {
      if (a.gain_per_order != b.gain_per_order) return a.gain_per_order > b.gain_per_order;
      return a.unit != b.unit ? a.unit < b.unit : a.from < b.from;
    });
    for (const HullStep& step : steps) {
      if (left_ == 0) return;
      const int size = step.to - step.from;
      // A unit whose step was passed over is not where its next step begins.
      if (size > left_ || orders_[step.unit] != step.from) continue;
      orders_[step.unit] = step.to;
      left_ -= size;
    }
  }

  void TakeBestPartialStep() {
    int64_t best_unit = -1;
    int best_order = 0;
    double best_gain = -1.0;
    for (size_t j = 0; j < weights_.size(); ++j) {
      const int from = orders_[j];
      const int last = static_cast<int>(std::min<int64_t>(max_order_, from + left_));
      for (int to = from + 1; to <= last; ++to) {
        const double gain = Gain(j, from, to);
        if (gain > best_gain) {
          best_gain = gain;
          best_unit = static_cast<int64_t>(j);
          best_order = to;
        }
      }
    }
    UNSWIFT_CHECK(best_unit >= 0);
    left_ -= best_order - orders_[best_unit];
    orders_[best_unit] = best_order;
  }

  std::span<const double> weights_;
  int min_order_, max_order_, stride_;
  std::vector<double> cost_;  // [num_units, stride_]
  std::vector<int32_t> orders_;
  int64_t left_ = 0;
};

}  // namespace

int64_t OrderBudget(double mean_order, int64_t num_units) {
  return std::llround(mean_order * static_cast<double>(num_units));
}

Result<std::vector<int32_t>> AllocateOrders(std::span<const double> errors,
                                            std::span<const double> weights, int64_t budget,
                                            int min_order, int max_order) {
  UNSWIFT_CHECK(min_order >= 0 && min_order <= max_order && max_order <= 100);
  UNSWIFT_CHECK(errors.size() == weights.size() * (max_order + 1));
  const auto valid = [](double value) { return std::isfinite(value) && value >= 0.0; };
  for (size_t j = 0; j < weights.size(); ++j) {
    const auto unit_errors = errors.subspan(j * (max_order + 1), max_order + 1);
    if (!valid(weights[j]) || !std::all_of(unit_errors.begin(), unit_errors.end(), valid)) {
      return MakeError(
          ErrorCode::kInvalidData,
          "[allocate_orders] unit {}: expected finite errors and weights >= 0, got others", j);
    }
  }
  return Allocator(errors, weights, min_order, max_order).Run(budget);
}

std::vector<int32_t> UniformOrders(int64_t num_units, int64_t budget) {
  std::vector<int32_t> orders(num_units);
  for (int64_t j = 0; j < num_units; ++j) {
    // Differences of a rounded-down line: every prefix has its share.
    const __int128 wide = budget;
    orders[j] = static_cast<int32_t>(wide * (j + 1) / num_units - wide * j / num_units);
  }
  return orders;
}

void EqualiseOrders(std::span<int32_t> orders, int64_t block, int64_t& surplus) {
  UNSWIFT_CHECK(orders.size() % block == 0 && surplus >= 0 && surplus < block);
  std::vector<int32_t> of_block;
  for (size_t begin = 0; begin < orders.size(); begin += block) {
    const std::span<const int32_t> own = orders.subspan(begin, block);
    const int64_t sum = std::accumulate(own.begin(), own.end(), int64_t{0});
    of_block.push_back(static_cast<int32_t>((sum - surplus + block - 1) / block));
    surplus += of_block.back() * block - sum;
  }
  // The surplus may lift a block above the one before it.
  std::sort(of_block.begin(), of_block.end(), std::greater<>());
  for (size_t i = 0; i < orders.size(); ++i) orders[i] = of_block[i / block];
}

}  // namespace unswift
