#include "unswift/series/allocation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "unswift/base/random.h"

namespace unswift {
namespace {

int64_t Sum(const std::vector<int32_t>& orders) {
  return std::accumulate(orders.begin(), orders.end(), int64_t{0});
}

double Cost(const std::vector<double>& errors, const std::vector<double>& weights,
            const std::vector<int32_t>& orders, int max_order) {
  double cost = 0.0;
  for (size_t j = 0; j < orders.size(); ++j) {
    cost += weights[j] * errors[j * (max_order + 1) + orders[j]];
  }
  return cost;
}

// Falling errors, geometric on average; `stairs` lets them fall at every second order only, as
// those of an even function do. Convex when neither noise nor stairs.
std::vector<double> Errors(Random& random, int units, int max_order, bool stairs, bool noise) {
  std::vector<double> errors;
  for (int j = 0; j < units; ++j) {
    double error = 1.0 + random.NextUniform();
    const double rate = 0.1 + 0.7 * random.NextUniform();
    for (int n = 0; n <= max_order; ++n) {
      errors.push_back(error);
      if (!stairs || n % 2 == 1) error *= noise ? random.NextUniform() : rate;
    }
  }
  return errors;
}

double BruteForce(const std::vector<double>& errors, const std::vector<double>& weights,
                  int64_t budget, int min_order, int max_order) {
  std::vector<int32_t> orders(weights.size(), min_order);
  double best = std::numeric_limits<double>::infinity();
  std::function<void(size_t, int64_t)> visit = [&](size_t j, int64_t left) {
    if (j == orders.size()) {
      if (left == 0) best = std::min(best, Cost(errors, weights, orders, max_order));
      return;
    }
    for (int n = min_order; n <= max_order && n <= left; ++n) {
      orders[j] = n;
      visit(j + 1, left - n);
    }
  };
  visit(0, budget);
  return best;
}

TEST(Allocation, OptimalOnConvexErrors) {
  Random random(1);
  for (int repeat = 0; repeat < 20; ++repeat) {
    const auto errors = Errors(random, 4, 6, false, false);
    std::vector<double> weights;
    for (int j = 0; j < 4; ++j) weights.push_back(std::exp(3 * random.NextNormal()));
    for (int64_t budget = 4; budget <= 24; ++budget) {
      const auto orders = AllocateOrders(errors, weights, budget, 1, 6).value();
      EXPECT_EQ(Sum(orders), budget);
      EXPECT_NEAR(Cost(errors, weights, orders, 6), BruteForce(errors, weights, budget, 1, 6),
                  1e-12);
    }
  }
}

// Off the hull's corners the greedy answer may miss the optimum, but never the next corner below
// it: the gap is at most one hull step. On corners it is optimal.
TEST(Allocation, BoundedOnAnyErrors) {
  Random random(2);
  int optimal = 0, total = 0;
  for (int repeat = 0; repeat < 30; ++repeat) {
    const auto errors = Errors(random, 4, 6, repeat % 2 == 0, true);
    const std::vector<double> weights = {1.0, 0.3, 2.0, 1.0};
    for (int64_t budget = 4; budget <= 24; ++budget) {
      const auto orders = AllocateOrders(errors, weights, budget, 1, 6).value();
      EXPECT_EQ(Sum(orders), budget);
      const double cost = Cost(errors, weights, orders, 6);
      const double best = BruteForce(errors, weights, budget, 1, 6);
      EXPECT_GE(cost, best - 1e-12);
      // Never worse than the optimum of a smaller budget short of one largest step (5 orders).
      if (budget - 5 >= 4) {
        EXPECT_LE(cost, BruteForce(errors, weights, budget - 5, 1, 6) + 1e-12);
      }
      optimal += cost <= best + 1e-12;
      ++total;
    }
  }
  EXPECT_GT(optimal, total * 8 / 10);
}

TEST(Allocation, BudgetIsMetAndLimitsHold) {
  Random random(3);
  const int units = 1000;
  const auto errors = Errors(random, units, 32, true, true);
  const std::vector<double> weights(units, 1.0);
  for (const double mean : {0.0, 1.0, 1.0005, 7.3, 12.0, 31.9, 32.0, 40.0}) {
    const auto orders = AllocateOrders(errors, weights, OrderBudget(mean, units)).value();
    EXPECT_EQ(Sum(orders), std::llround(std::clamp(mean, 1.0, 32.0) * units)) << mean;
    for (const int32_t order : orders) EXPECT_TRUE(order >= 1 && order <= 32);
  }
}

TEST(Allocation, TiesGoToTheLowerIndex) {
  const std::vector<double> errors = {8, 4, 2, 1, 8, 4, 2, 1, 8, 4, 2, 1};
  const std::vector<double> weights(3, 1.0);
  EXPECT_EQ(AllocateOrders(errors, weights, 2, 0, 3).value(), (std::vector<int32_t>{1, 1, 0}));
}

TEST(Allocation, UnitsWithoutWeightGetOrdersLast) {
  Random random(4);
  const auto errors = Errors(random, 6, 8, false, false);
  const std::vector<double> weights = {0, 1, 0, 1, 1, 0};
  const auto orders = AllocateOrders(errors, weights, 3 * 8 + 3, 1, 8).value();
  EXPECT_EQ(orders, (std::vector<int32_t>{1, 8, 1, 8, 8, 1}));
}

TEST(Allocation, RefusesWhatIsNotFinite) {
  std::vector<double> errors(3 * 33, 1.0), weights(3, 1.0);
  weights[1] = std::nan("");
  EXPECT_FALSE(AllocateOrders(errors, weights, 10));
  weights[1] = 1.0;
  errors[2 * 33 + 4] = -1.0;
  const auto result = AllocateOrders(errors, weights, 10);
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message.find("unit 2"), std::string::npos);
}

TEST(Allocation, UniformSpreadsARemainder) {
  EXPECT_EQ(UniformOrders(4, 32), (std::vector<int32_t>{8, 8, 8, 8}));
  const auto orders = UniformOrders(1000, OrderBudget(8.25, 1000));
  EXPECT_EQ(Sum(orders), 8250);
  int64_t high = 0;
  for (int j = 0; j < 1000; ++j) {
    EXPECT_TRUE(orders[j] == 8 || orders[j] == 9);
    high += orders[j] == 9;
    EXPECT_NEAR(high, (j + 1) * 0.25, 1.0);
  }
}

TEST(EqualiseOrders, KeepsTheSumAndTheOrder) {
  Random random(4);
  int64_t surplus = 0, wanted = 0, given = 0;
  for (int layer = 0; layer < 20; ++layer) {
    std::vector<int32_t> orders(8 * 32);
    for (int32_t& order : orders) order = 1 + static_cast<int32_t>(random.NextBelow(32));
    std::sort(orders.rbegin(), orders.rend());
    const std::vector<int32_t> before = orders;
    EqualiseOrders(orders, 32, surplus);
    EXPECT_TRUE(std::is_sorted(orders.rbegin(), orders.rend()));
    for (size_t i = 0; i < orders.size(); ++i) {
      EXPECT_EQ(orders[i], orders[i / 32 * 32]);
      EXPECT_GE(orders[i], 1);
      EXPECT_LE(orders[i], 32);
      wanted += before[i];
      given += orders[i];
    }
    EXPECT_EQ(given - wanted, surplus);
    EXPECT_LT(surplus, 32);
  }
}

TEST(EqualiseOrders, WholeBlocksStay) {
  std::vector<int32_t> orders(96, 7);
  std::fill_n(orders.begin(), 32, 9);
  const std::vector<int32_t> before = orders;
  int64_t surplus = 0;
  EqualiseOrders(orders, 32, surplus);
  EXPECT_EQ(orders, before);
  EXPECT_EQ(surplus, 0);
}

}  // namespace
}  // namespace unswift
