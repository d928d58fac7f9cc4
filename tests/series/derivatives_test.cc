#include "unswift/series/derivatives.h"
#include "unswift/io/json.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "tests/testing/test_data.h"

namespace unswift {
namespace {

Activation ParseActivation(const std::string& name) {
  const std::map<std::string, Activation> names = {{"silu", Activation::kSilu},
                                                   {"gelu_erf", Activation::kGeluErf},
                                                   {"gelu_tanh", Activation::kGeluTanh}};
  return names.at(name);
}

nlohmann::json Golden() { return ReadJsonFile("tests/series/golden/derivatives.json"); }

// The bound is relative to the coefficient itself, except near a zero of phi^(n), where no relative
// accuracy in double exists: there a hundredth of the larger neighbour is the scale.
double NaturalScale(const std::vector<double>& c, int n) {
  double scale = std::abs(c[n]);
  if (n > 0) scale = std::max(scale, 0.01 * std::abs(c[n - 1]));
  if (n + 1 < static_cast<int>(c.size())) scale = std::max(scale, 0.01 * std::abs(c[n + 1]));
  return scale;
}

TEST(Derivatives, TaylorCoefficientsAgreeWithArbitraryPrecision) {
  const nlohmann::json golden = Golden();
  ASSERT_EQ(golden["taylor"].size(), 72u);
  int near_zero = 0;
  for (const auto& item : golden["taylor"]) {
    const std::string name = item["activation"];
    const auto expected = item["coefficients"].get<std::vector<double>>();
    const auto actual = TaylorCoefficients(ParseActivation(name), item["x"], 32);
    ASSERT_EQ(actual.size(), expected.size());
    for (int n = 0; n <= 32; ++n) {
      const double error = std::abs(actual[n] - expected[n]);
      EXPECT_LE(error, 1e-12 * NaturalScale(expected, n))
          << name << " x " << item["x"] << " n " << n << " expected " << expected[n];
      near_zero += error > 1e-12 * std::abs(expected[n]);
    }
  }
  // Of 2,376 coefficients 49 are zero by symmetry (x = 0) or exactly (gelu_erf at 2 and -3).
  EXPECT_LE(near_zero, 60) << "coefficients that need the neighbours' scale";
}

TEST(Derivatives, ChebyshevCoefficientsAgreeWithArbitraryPrecision) {
  const nlohmann::json golden = Golden();
  for (const auto& item : golden["chebyshev"]) {
    const std::string name = item["activation"];
    const auto expected = item["coefficients"].get<std::vector<double>>();
    const auto actual = ChebyshevCoefficients(ParseActivation(name), item["centre"], item["radius"],
                                              item["bias"], 32);
    ASSERT_EQ(actual.size(), expected.size());
    double largest = 0.0;
    for (const double c : expected) largest = std::max(largest, std::abs(c));
    for (int n = 0; n <= 32; ++n) {
      EXPECT_NEAR(actual[n], expected[n], 1e-12 * largest) << item["activation"] << " n " << n;
    }
  }
}

TEST(Derivatives, LowerOrdersAreAPrefix) {
  const auto all = TaylorCoefficients(Activation::kSilu, 1.5, 32);
  const auto few = TaylorCoefficients(Activation::kSilu, 1.5, 3);
  ASSERT_EQ(few.size(), 4u);
  EXPECT_TRUE(std::equal(few.begin(), few.end(), all.begin()));
}

}  // namespace
}  // namespace unswift
