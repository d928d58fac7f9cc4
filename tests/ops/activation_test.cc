#include "unswift/ops/activation.h"

#include "tests/ops/kernel_test.h"

namespace unswift {
namespace {

class ActivationTest : public EveryTarget {};
UNSWIFT_INSTANTIATE_FOR_EVERY_TARGET(ActivationTest);

const Activation kActivations[] = {Activation::kSilu, Activation::kGeluErf, Activation::kGeluTanh};

// phi(x) = x P(x). The argument of P's exponential is rounded (relative error u each time), which
// moves exp(-a) by 2 u a exp(-a) <= 0.74 u relative to 1; Highway's exp adds 2 u, the addition, the
// division and the product u each; for erf the tail's polynomial adds u. In all |err| <= 6 u |x|.
// exp may overflow to infinity where phi is below 1e-36: hence the absolute term.
double Tolerance(double x) { return 6.0 * kUnitRoundoff * std::abs(x) + 1e-36; }

std::vector<float> Arguments() {
  std::vector<float> x = {0.0f, -0.0f, 1e-30f, -1e-30f, 1e4f, -1e4f, 1e20f, -1e20f, 3e38f, -3e38f};
  for (int i = -20000; i <= 20000; ++i) x.push_back(static_cast<float>(i * 0.00501));
  for (int i = -4000; i <= 4000; ++i) x.push_back(static_cast<float>(i * 0.00101));
  return x;
}

TEST_P(ActivationTest, PlainIsWithinTheBound) {
  ThreadPool pool(2);
  const std::vector<float> x = Arguments();
  const auto n = static_cast<int64_t>(x.size());
  for (const Activation activation : kActivations) {
    std::vector<float> y(n);
    PlainActivation(activation, {x.data(), 1, n}, {y.data(), 1, n}, pool);
    for (int64_t i = 0; i < n; ++i) {
      ASSERT_NEAR(y[i], ActivationValue(activation, x[i]), Tolerance(x[i])) << x[i];
    }
  }
}

// The normal tail is exp(-x^2/2) times a polynomial, so it is good relative to itself: the
// polynomial to 11 u, the exponential to 3 u and its argument's two roundings, x^2 / 2 u each.
TEST_P(ActivationTest, GeluErfKeepsItsNegativeTail) {
  ThreadPool pool(1);
  for (float x = -9.0f; x < -0.01f; x += 0.0037f) {
    float y = 0.0f;
    PlainActivation(Activation::kGeluErf, {&x, 1, 1}, {&y, 1, 1}, pool);
    const double expected = ActivationValue(Activation::kGeluErf, x);
    ASSERT_NEAR(y, expected, (16.0 + x * x) * kUnitRoundoff * std::abs(expected)) << x;
  }
}

TEST_P(ActivationTest, GatedMultipliesAndMayOverwriteAnInput) {
  ThreadPool pool(2);
  for (const Activation activation : kActivations) {
    for (const int64_t n : {1, 3, 16, 37, 1000}) {
      TestRows gate(5, n, 1, 3.0), up(5, n, 2);
      TestRows y = gate;
      GatedActivation(activation, y.view(), up.view(), y.view(), pool);
      for (int64_t r = 0; r < 5; ++r) {
        for (int64_t i = 0; i < n; ++i) {
          const double g = gate.view().row(r)[i], u = up.view().row(r)[i];
          const double expected = ActivationValue(activation, g) * u;
          ASSERT_NEAR(y.view().row(r)[i], expected, 1.2 * Tolerance(g) * std::abs(u) + 1e-36);
        }
      }
      EXPECT_TRUE(y.GapsUntouched());
    }
  }
}

// tanh by expm1 (6 ulp together with its argument's rounding, as measured by Highway), the division
// by the cap and the product: 10 u relative, where tanh's slope never magnifies an error.
TEST_P(ActivationTest, SoftCapIsWithinTheBound) {
  ThreadPool pool(2);
  for (const float cap : {0.5f, 30.0f, 50.0f}) {
    std::vector<float> x = Arguments();
    const std::vector<float> before = x;
    const auto n = static_cast<int64_t>(x.size());
    SoftCap({x.data(), 1, n}, cap, pool);
    for (int64_t i = 0; i < n; ++i) {
      const double expected = cap * std::tanh(before[i] / double{cap});
      ASSERT_NEAR(x[i], expected, 10.0 * kUnitRoundoff * std::abs(before[i]) + 1e-36) << before[i];
      ASSERT_LE(std::abs(x[i]), cap);
    }
  }
  float nan = std::nanf("");
  SoftCap({&nan, 1, 1}, 30.0f, pool);
  EXPECT_TRUE(std::isnan(nan));
}

TEST_P(ActivationTest, NanStaysNan) {
  ThreadPool pool(1);
  for (const Activation activation : kActivations) {
    float x = std::nanf("");
    PlainActivation(activation, {&x, 1, 1}, {&x, 1, 1}, pool);
    EXPECT_TRUE(std::isnan(x));
  }
}

// Values from published tables: 1 / (1 + e^-1), Phi(1), Phi(-3), and GELU's tanh form at 1.
TEST(ActivationValueTest, KnownValues) {
  EXPECT_NEAR(ActivationValue(Activation::kSilu, 1.0), 0.7310585786300049, 1e-15);
  EXPECT_NEAR(ActivationValue(Activation::kGeluErf, 1.0), 0.8413447460685429, 1e-15);
  EXPECT_NEAR(ActivationValue(Activation::kGeluErf, -3.0), -3.0 * 0.0013498980316300933, 1e-16);
  EXPECT_NEAR(ActivationValue(Activation::kGeluTanh, 1.0),
              0.5 * (1 + std::tanh(0.7978845608028654 * 1.044715)), 1e-15);
}

}  // namespace
}  // namespace unswift
