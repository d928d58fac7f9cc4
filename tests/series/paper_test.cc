// The paper's expansion against tests/series/paper_reference.py, an independent implementation.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "tests/testing/test_data.h"
#include "unswift/io/json.h"
#include "unswift/series/basis.h"
#include "unswift/series/carry.h"
#include "unswift/series/fit.h"

namespace unswift {
namespace {

using Matrix = std::vector<std::vector<double>>;

const std::map<std::string, Activation> kActivations = {{"silu", Activation::kSilu},
                                                        {"gelu_erf", Activation::kGeluErf},
                                                        {"gelu_tanh", Activation::kGeluTanh}};

nlohmann::json Cases() { return ReadJsonFile("tests/series/golden/paper_cases.json")["cases"]; }

std::vector<double> Bias(const nlohmann::json& item) {
  return item["gated"].get<bool>() ? std::vector<double>()
                                   : item["fc1_bias"].get<std::vector<double>>();
}

// The library's fit of a case, signs flipped.
SeriesFit FitOf(const nlohmann::json& item) {
  PaperOptions options;
  options.activation = kActivations.at(item["activation"]);
  options.cutoff = item["cutoff"];
  options.cutoff_order = item["grad_order_min"];
  const auto min = item["min"].get<std::vector<float>>(),
             max = item["max"].get<std::vector<float>>();
  std::vector<int64_t> units = SmallestRangeUnits(min, max, item["select_dim"]);
  const UnitSelection selection =
      SortByOrder(units, std::vector<int32_t>(units.size(), item["order"].get<int>()));
  SeriesFit fit = PaperFit(min, max, options, selection, Bias(item));
  FlipSigns(fit, item["sign"].get<std::vector<int8_t>>());
  return fit;
}

TEST(Paper, UnitsAndCentres) {
  for (const auto& item : Cases()) {
    const SeriesFit fit = FitOf(item);
    EXPECT_EQ(fit.units, item["units"].get<std::vector<int64_t>>()) << item["name"];
    const auto centre = item["centre"].get<std::vector<float>>();
    EXPECT_EQ(fit.centre, centre) << item["name"];
  }
}

TEST(Paper, ThetaAgreesWithTheReference) {
  const nlohmann::json cases = Cases();
  for (const auto& item : cases) {
    const SeriesFit fit = FitOf(item);
    const Matrix down = item[item["gated"].get<bool>() ? "down_proj" : "fc2"];
    const ThetaMaker maker(fit, nullptr, DType::kF32, 0);
    const int64_t units = fit.num_units();
    for (size_t i = 0; i < down.size(); ++i) {
      std::vector<float> row, theta(maker.num_features());
      for (const int64_t unit : fit.units) row.push_back(static_cast<float>(down[i][unit]));
      const auto done = maker.MakeRows(ConstRows(row.data(), 1, units),
                                       reinterpret_cast<std::byte*>(theta.data()), 0);
      ASSERT_TRUE(done) << done.error().message;
      for (int n = 0; n <= item["order"].get<int>(); ++n) {
        const auto expected = item["theta"][n][i].get<std::vector<double>>();
        double largest = 0.0;
        for (const double value : expected) largest = std::max(largest, std::abs(value));
        for (int64_t j = 0; j < units; ++j) {
          EXPECT_NEAR(theta[n * units + j], expected[j],
                      1e-5 * std::abs(expected[j]) + 1e-8 * largest)
              << item["name"] << " order " << n << " row " << i << " unit " << j;
        }
      }
    }
  }
}

// The protected layer's output from the library's centres, coefficients and basis.
TEST(Paper, OutputAgreesWithTheReference) {
  const nlohmann::json cases = Cases();
  int64_t truncated = 0;
  for (const auto& item : cases) {
    const bool gated = item["gated"];
    const SeriesFit fit = FitOf(item);
    const Matrix first = item[gated ? "gate_proj" : "fc1"];
    const Matrix down = item[gated ? "down_proj" : "fc2"];
    const auto bias = Bias(item);
    const auto sign = item["sign"].get<std::vector<double>>();
    const BasisRule rule{fit.basis, fit.guard, fit.cutoff, fit.cutoff_order};
    truncated += item["truncated_entries"].get<int64_t>();
    const auto inputs = item["inputs"].get<Matrix>();
    for (size_t token = 0; token < inputs.size(); ++token) {
      const auto dot = [&](const std::vector<double>& row) {
        double sum = 0.0;
        for (size_t k = 0; k < row.size(); ++k) sum += row[k] * inputs[token][k];
        return sum;
      };
      std::vector<double> hidden(first.size());
      for (size_t j = 0; j < first.size(); ++j) {
        hidden[j] = ActivationValue(kActivations.at(item["activation"]),
                                    dot(first[j]) + (gated ? 0.0 : bias[j]));
      }
      for (int64_t i = 0; i < fit.num_units(); ++i) {
        const double t = (sign[i] * dot(first[fit.units[i]]) - fit.centre[i]) * fit.inv_radius[i];
        hidden[fit.units[i]] = SeriesValue(rule, fit.unit(i), t);
      }
      const auto expected = item["expected_output"][token].get<std::vector<double>>();
      for (size_t i = 0; i < expected.size(); ++i) {
        double sum = gated ? 0.0 : item["fc2_bias"][i].get<double>(), scale = 0.0;
        for (size_t j = 0; j < hidden.size(); ++j) {
          const double u = gated ? dot(item["up_proj"][j].get<std::vector<double>>()) : 1.0;
          sum += down[i][j] * hidden[j] * u;
          scale += std::abs(down[i][j] * hidden[j] * u);
        }
        EXPECT_NEAR(sum, expected[i], 1e-9 * scale) << item["name"];
      }
    }
  }
  EXPECT_GT(truncated, 20) << "the cases must reach the truncation rule";
}

}  // namespace
}  // namespace unswift
