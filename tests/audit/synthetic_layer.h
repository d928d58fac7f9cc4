// One protected layer of known weights, made by series/ from invented statistics: the attacks see
// the SeriesWeights, the test keeps the weights.
#pragma once

#include <cmath>
#include <memory>
#include <vector>

#include "unswift/audit/unit_function.h"
#include "unswift/base/random.h"
#include "unswift/ops/pack.h"
#include "unswift/series/carry.h"
#include "unswift/tensor/convert.h"

namespace unswift {

struct SyntheticOptions {
  DType weight_dtype = DType::kBF16;
  DType theta_dtype = DType::kBF16;
  bool carry = true;
  SeriesBasis basis = SeriesBasis::kChebyshev;
  bool plain = false;  ///< a plain MLP: biases inside the series, order 0 elsewhere
  int64_t rows = 320, units = 37;
  int highest_order = 14, lowest_order = 7;
  uint64_t seed = 1;
};

class SyntheticLayer {
 public:
  explicit SyntheticLayer(const SyntheticOptions& options) : options_(options) {
    Random random(options.seed);
    MakeWeights(random);
    MakeStatistics(random);
    MakeSeries(random);
  }
  SyntheticLayer(const SyntheticLayer&) = delete;

  LayerFacts facts() const {
    LayerFacts facts;
    facts.series = &series_;
    facts.activation = options_.plain ? Activation::kGeluTanh : Activation::kSilu;
    facts.hidden_bias = facts.hidden_constant = options_.plain;
    facts.weight_dtype = options_.weight_dtype;
    // What the norm and the gate say: not the density that the fit was made with.
    facts.z_mean.assign(options_.units, 0.0f);
    facts.z_spread.assign(options_.units, 1.2f);
    return facts;
  }
  float weight(int64_t row, int64_t unit) const { return down_[row * options_.units + unit]; }
  int sign(int64_t unit) const { return signs_[unit]; }
  double bias(int64_t unit) const { return options_.plain ? bias_[unit] : 0.0; }
  double constant(int64_t unit) const { return fit_.unit(unit)[0]; }
  const SeriesWeights& series() const { return series_; }

 private:
  void MakeWeights(Random& random) {
    down_.resize(options_.rows * options_.units);
    for (float& w : down_) w = static_cast<float>(0.05 * random.NextNormal());
    std::vector<std::byte> stored(down_.size() * BlockBytes(options_.weight_dtype));
    RowFromF32(options_.weight_dtype, down_, stored.data());
    RowToF32(options_.weight_dtype, stored.data(), down_);
    for (int64_t j = 0; j < options_.units; ++j) {
      bias_.push_back(options_.plain ? 0.4 * random.NextNormal() : 0.0);
      signs_.push_back(random.NextBelow(2) == 0 ? 1 : -1);
    }
  }

  void MakeStatistics(Random& random) {
    ThreadPool pool(1);
    constexpr int64_t kTokens = 2000;
    std::vector<float> z(kTokens * options_.units);
    for (int64_t t = 0; t < kTokens; ++t) {
      for (int64_t j = 0; j < options_.units; ++j) {
        const double spread = 0.7 + 0.05 * (j % 16), mean = 0.1 * (j % 7 - 3);
        z[t * options_.units + j] = static_cast<float>(mean + spread * random.NextNormal());
      }
    }
    const ConstRows rows(z.data(), kTokens, options_.units);
    RangeAccumulator range(options_.units);
    range.Add(rows, pool);
    HistogramAccumulator histogram(range.Finish(0).value());
    histogram.Add(rows, {}, {}, pool);
    statistics_ = histogram.Finish(0).value();
  }

  void MakeSeries(Random&) {
    ThreadPool pool(2);
    FitOptions fit;
    fit.activation = options_.plain ? Activation::kGeluTanh : Activation::kSilu;
    fit.basis = options_.basis;
    UnitSelection selection;
    for (int64_t j = 0; j < options_.units; ++j) {
      selection.units.push_back(j);
      const int64_t span = options_.highest_order - options_.lowest_order;
      selection.orders.push_back(
          static_cast<int32_t>(options_.highest_order - span * j / (options_.units - 1)));
    }
    fit_ = FitCoefficients(statistics_, fit, selection, bias_, pool).value();
    SeriesCarry carry = MakeCarry(statistics_, fit, fit_, bias_, pool).value();
    FlipSigns(fit_, signs_);
    FlipSigns(carry, signs_);
    const bool quantized = IsQuantized(options_.theta_dtype);
    const ThetaMaker maker(fit_, options_.carry ? &carry : nullptr,
                           quantized ? DType::kF32 : options_.theta_dtype, options_.plain ? 1 : 0);
    FillSeries(maker);
    if (quantized) Quantise();
  }

  void FillSeries(const ThetaMaker& maker) {
    series_.basis = options_.basis;
    series_.first_order = options_.plain ? 1 : 0;
    series_.centre = fit_.centre;
    series_.inv_radius = fit_.inv_radius;
    series_.orders.assign(fit_.orders.begin(), fit_.orders.end());
    series_.units_of_order = maker.units_of_order();
    const DType dtype = IsQuantized(options_.theta_dtype) ? DType::kF32 : options_.theta_dtype;
    const int64_t row_bytes = maker.num_features() * BlockBytes(dtype);
    theta_.resize(options_.rows * row_bytes);
    const Result<> made = maker.MakeRows(ConstRows(down_.data(), options_.rows, options_.units),
                                         theta_.data(), row_bytes);
    UNSWIFT_CHECK(made.has_value());
    series_.theta = {dtype, options_.rows, maker.num_features(), row_bytes, theta_.data()};
  }

  /// Plain block quantisation: orders do not begin with blocks of their own here.
  void Quantise() {
    const int64_t bytes = ConvertedBytes(series_.theta, options_.theta_dtype);
    std::vector<std::byte> quantised(bytes);
    ThreadPool pool(1);
    ConvertMatrix(series_.theta, options_.theta_dtype, quantised.data(), pool);
    series_.theta = ConvertedView(series_.theta, options_.theta_dtype, quantised.data());
    theta_ = std::move(quantised);
  }

  SyntheticOptions options_;
  std::vector<float> down_;  // [rows, units]
  std::vector<double> bias_;
  std::vector<int8_t> signs_;
  LayerStatistics statistics_;
  SeriesFit fit_;
  std::vector<std::byte> theta_;
  SeriesWeights series_;
};

}  // namespace unswift
