// The scalar function of one protected unit: what a recipient learns from it.
//
// All rows of a unit's Theta are the same function of z times the weight of the row:
// f_i(z) = sum_n Theta[i, n] p_n(t(z)) = D[i] P(z). P is seen up to a factor; it is a fit of the
// activation, which gives the factor, the sign of z, and the bias of a plain MLP.
#pragma once

#include <vector>

#include "unswift/audit/theta_block.h"
#include "unswift/ops/activation.h"
#include "unswift/series/basis.h"

namespace unswift {

/// What is public about one protected layer.
struct LayerFacts {
  const SeriesWeights* series = nullptr;
  Activation activation = Activation::kSilu;
  bool hidden_bias = false;          ///< the pre-activation's bias is inside the series
  bool hidden_constant = false;      ///< a plain MLP: order 0 of all units is one sum in the bias
  DType weight_dtype = DType::kF32;  ///< of the original's matrices, as the plain tensors show
  std::vector<float> z_mean, z_spread;  ///< [units], of z for inputs as the norm makes them

  int order(int64_t unit) const { return series->orders[unit]; }
};

/// z_mean and z_spread need the norm in front of the MLP. Cost: reads the input matrix once.
LayerFacts FactsOf(const Model& release, int64_t layer, ThreadPool& pool);

/// Points of a unit's interval with the weight of a guessed density of z, and the basis there.
struct FunctionSamples {
  std::vector<double> z, weight;
  int num_orders = 0;
  std::vector<double> basis;  ///< [points, num_orders], from first_order on

  double Value(size_t point, const double* c) const {
    double sum = 0.0;
    for (int n = 0; n < num_orders; ++n) sum += basis[point * num_orders + n] * c[n];
    return sum;
  }
};

FunctionSamples SampleUnit(const LayerFacts& facts, int64_t unit);
/// gram[n][m] = sum of weight * p_n * p_m over the points, [num_orders, num_orders].
std::vector<double> BasisGram(const FunctionSamples& samples);

/// phi(sign z + bias) ~ factor * P(z) + constant.
struct FunctionFit {
  double factor = 1.0;
  int sign = 1;
  double bias = 0.0;      ///< 0 where the original has none
  double constant = 0.0;  ///< plain MLP only: what order 0 would hold
  double residual = 1.0;  ///< root mean square, relative to phi (plain: to its deviation)
};

/// Fits the activation to the function with coefficients c (up to a factor): both signs, the bias
/// and the constant where those are hidden, and when the fit is poor, other densities of z.
FunctionFit FitActivation(const LayerFacts& facts, int64_t unit, const FunctionSamples& samples,
                          const double* c);

}  // namespace unswift
