#include "unswift/ops/logits.h"

#include <limits>

#include "tests/ops/kernel_test.h"
#include "unswift/ops/reference/reference.h"

namespace unswift {
namespace {

class LogitsTest : public EveryTarget {};
UNSWIFT_INSTANTIATE_FOR_EVERY_TARGET(LogitsTest);

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST_P(LogitsTest, LogSumExpIsADoubleResult) {
  for (const int64_t n : {1, 2, 7, 8, 9, 100, 32003}) {
    for (const double scale : {1.0, 30.0, 1000.0}) {
      TestRows x(1, n, 1, scale, 0);
      const double expected = reference::LogSumExp(x.view().row(0));
      // Highway's double exponential is good to an ulp; n terms are added in double.
      EXPECT_NEAR(LogSumExp(x.view().row(0)), expected, 1e-13 + 1e-15 * std::abs(expected)) << n;
    }
  }
}

TEST_P(LogitsTest, LogSumExpOfInfinities) {
  const std::vector<float> with_zero_weight = {1.0f, -kInfinity, -kInfinity};
  EXPECT_DOUBLE_EQ(LogSumExp(with_zero_weight), 1.0);
  EXPECT_EQ(LogSumExp(std::vector<float>(20, -kInfinity)), -kInfinity);
  EXPECT_EQ(LogSumExp(std::vector<float>{}), -kInfinity);
  std::vector<float> with_nan(20, 0.0f);
  with_nan[3] = std::nanf("");
  EXPECT_TRUE(std::isnan(LogSumExp(with_nan)));
}

TEST_P(LogitsTest, ArgMaxIsTheFirstLargest) {
  for (const int64_t n : {1, 5, 16, 40, 100}) {
    for (int64_t winner = 0; winner < n; ++winner) {
      std::vector<float> x(n, -2.0f);
      x[winner] = 3.0f;
      EXPECT_EQ(ArgMax(x), winner);
      x[n - 1] = 3.0f;
      EXPECT_EQ(ArgMax(x), winner);
      x[winner == 0 ? n - 1 : 0] = std::nanf("");
      EXPECT_EQ(ArgMax(x), n == 1 ? 0 : winner);
    }
  }
  EXPECT_EQ(ArgMax(std::vector<float>(20, -kInfinity)), 0);
  EXPECT_EQ(ArgMax(std::vector<float>(20, std::nanf(""))), 0);
}

}  // namespace
}  // namespace unswift
