#include "unswift/ops/reference/reference.h"

#include <algorithm>
#include <cmath>
#include <complex>

#include "unswift/tensor/convert.h"
#include "unswift/tensor/packed.h"

namespace unswift::reference {

MatMulResult MatMul(ConstRows x, const MatrixView& weight, const float* bias) {
  MatMulResult result{Matrix(x.rows, weight.rows), Matrix(x.rows, weight.rows)};
  std::vector<float> row(weight.cols);
  for (int64_t n = 0; n < weight.rows; ++n) {
    MatrixRowToF32(weight, n, row);
    for (int64_t m = 0; m < x.rows; ++m) {
      double sum = bias == nullptr ? 0.0 : bias[n];
      double magnitude = std::abs(sum);
      for (int64_t k = 0; k < weight.cols; ++k) {
        const double product = static_cast<double>(x.row(m)[k]) * row[k];
        sum += product;
        magnitude += std::abs(product);
      }
      result.y.at(m, n) = sum;
      result.magnitude.at(m, n) = magnitude;
    }
  }
  return result;
}

Matrix RmsNorm(ConstRows x, std::span<const float> weight, double eps) {
  Matrix y(x.rows, x.cols);
  for (int64_t r = 0; r < x.rows; ++r) {
    double squares = 0.0;
    for (const double v : x.row(r)) squares += v * v;
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(x.cols) + eps);
    for (int64_t i = 0; i < x.cols; ++i) y.at(r, i) = x.row(r)[i] * scale * weight[i];
  }
  return y;
}

Matrix LayerNorm(ConstRows x, std::span<const float> weight, std::span<const float> bias,
                 double eps) {
  Matrix y(x.rows, x.cols);
  const double n = static_cast<double>(x.cols);
  for (int64_t r = 0; r < x.rows; ++r) {
    double mean = 0.0, variance = 0.0;
    for (const double v : x.row(r)) mean += v / n;
    for (const double v : x.row(r)) variance += (v - mean) * (v - mean) / n;
    const double scale = 1.0 / std::sqrt(variance + eps);
    for (int64_t i = 0; i < x.cols; ++i) {
      y.at(r, i) = (x.row(r)[i] - mean) * scale * weight[i] + bias[i];
    }
  }
  return y;
}

Matrix Rope(ConstRows x, int64_t head_dim, std::span<const int32_t> positions,
            std::span<const double> inv_freq) {
  Matrix y(x.rows, x.cols);
  const auto half = static_cast<int64_t>(inv_freq.size());
  for (int64_t r = 0; r < x.rows; ++r) {
    for (int64_t i = 0; i < x.cols; ++i) y.at(r, i) = x.row(r)[i];
    for (int64_t first = 0; first < x.cols; first += head_dim) {
      for (int64_t i = 0; i < half; ++i) {
        const std::complex<double> value(x.row(r)[first + i], x.row(r)[first + i + half]);
        const auto rotated = value * std::polar(1.0, positions[r] * inv_freq[i]);
        y.at(r, first + i) = rotated.real();
        y.at(r, first + i + half) = rotated.imag();
      }
    }
  }
  return y;
}

namespace {

/// The kv_len rows of one head.
std::vector<float> HeadRows(const KvView& kv, const void* stored, int64_t kv_head) {
  std::vector<float> rows(kv.kv_len * kv.head_dim);
  const int64_t first = kv_head * kv.head_stride * BlockBytes(kv.dtype);
  RowToF32(kv.dtype, static_cast<const std::byte*>(stored) + first, rows);
  return rows;
}

}  // namespace

Matrix Attention(ConstRows q, const KvView& kv, const AttentionOptions& options) {
  Matrix out(q.rows, q.cols);
  const int64_t num_heads = q.cols / kv.head_dim;
  for (int64_t head = 0; head < num_heads; ++head) {
    const int64_t kv_head = head / (num_heads / kv.num_key_value_heads);
    const std::vector<float> keys = HeadRows(kv, kv.keys, kv_head);
    const std::vector<float> values = HeadRows(kv, kv.values, kv_head);
    for (int64_t r = 0; r < q.rows; ++r) {
      const int64_t visible = kv.kv_len - (q.rows - 1 - r);
      const float* query = q.row(r).data() + head * kv.head_dim;
      std::vector<double> weights(visible);
      for (int64_t p = 0; p < visible; ++p) {
        for (int64_t i = 0; i < kv.head_dim; ++i) {
          weights[p] += double{options.scale} * query[i] * keys[p * kv.head_dim + i];
        }
        const double cap = options.softcap;
        if (cap > 0.0) weights[p] = cap * std::tanh(weights[p] / cap);
        const int64_t distance = visible - 1 - p;
        if (options.window > 0 && distance >= options.window) weights[p] = -INFINITY;
      }
      const double largest = *std::ranges::max_element(weights);
      double total = 0.0;
      for (double& weight : weights) total += weight = std::exp(weight - largest);
      for (int64_t i = 0; i < kv.head_dim; ++i) {
        double& sum = out.at(r, head * kv.head_dim + i);
        for (int64_t p = 0; p < visible; ++p) {
          sum += weights[p] / total * values[p * kv.head_dim + i];
        }
      }
    }
  }
  return out;
}

double LogSumExp(std::span<const float> logits) {
  const double largest = *std::ranges::max_element(logits);
  double sum = 0.0;
  for (const double x : logits) sum += std::exp(x - largest);
  return largest + std::log(sum);
}

namespace {

double Polynomial(SeriesBasis basis, int64_t n, double t) {
  if (basis == SeriesBasis::kTaylor) return std::pow(t, static_cast<double>(n));
  if (std::abs(t) <= 1.0) return std::cos(n * std::acos(t));
  const double outside = std::cosh(n * std::acosh(std::abs(t)));
  return t < 0.0 && n % 2 == 1 ? -outside : outside;
}

/// p_n'(+1) or p_n'(-1).
double EndSlope(SeriesBasis basis, int64_t n, double end) {
  const double at_one = basis == SeriesBasis::kChebyshev ? double(n * n) : double(n);
  return end < 0.0 && n % 2 == 0 ? -at_one : at_one;
}

}  // namespace

double SeriesValue(const SeriesUnits& units, int64_t n, double z, double centre,
                   double inv_radius) {
  const double t = (z - centre) * inv_radius;
  if (units.guard == SeriesGuard::kLinear && std::abs(t) > 1.0) {
    const double end = t > 0.0 ? 1.0 : -1.0;
    return Polynomial(units.basis, n, end) + EndSlope(units.basis, n, end) * (t - end);
  }
  if (units.guard == SeriesGuard::kTruncate && n > units.cutoff_order &&
      std::abs(z - centre) > units.cutoff) {
    return 0.0;
  }
  return Polynomial(units.basis, n, t);
}

Matrix SeriesFeatures(const SeriesUnits& units, ConstRows z, ConstRows u) {
  Matrix features(z.rows, units.num_features());
  for (int64_t r = 0; r < z.rows; ++r) {
    int64_t column = 0;
    for (size_t n = units.first_order; n < units.units_of_order.size(); ++n) {
      for (int64_t j = 0; j < units.units_of_order[n]; ++j, ++column) {
        const double scale = u.data == nullptr ? 1.0 : u.row(r)[j];
        features.at(r, column) =
            scale * SeriesValue(units, n, z.row(r)[j], units.centre[j], units.inv_radius[j]);
      }
    }
  }
  return features;
}

}  // namespace unswift::reference
