// The oracle: every op by its plain definition, scalar, in double. Slow, used by tests and
// benchmarks.
//
// Results are double, so that a kernel is measured against the value and not against another
// rounding of it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "unswift/ops/activation.h"
#include "unswift/ops/attention.h"
#include "unswift/ops/series_mlp.h"
#include "unswift/tensor/rows.h"
#include "unswift/tensor/tensor_view.h"

namespace unswift::reference {

/// A row-major matrix of doubles.
struct Matrix {
  Matrix(int64_t rows, int64_t cols) : rows(rows), cols(cols), values(rows * cols) {}
  double& at(int64_t r, int64_t c) { return values[r * cols + c]; }
  double at(int64_t r, int64_t c) const { return values[r * cols + c]; }
  int64_t rows, cols;
  std::vector<double> values;
};

struct MatMulResult {
  Matrix y;          ///< x W^T (+ bias)
  Matrix magnitude;  ///< |x| |W|^T (+ |bias|): what the error bound scales with
};
/// Shapes: x [m, k]; weight [n, k] of any storage type; bias [n] or null.
MatMulResult MatMul(ConstRows x, const MatrixView& weight, const float* bias);

Matrix RmsNorm(ConstRows x, std::span<const float> weight, double eps);
Matrix LayerNorm(ConstRows x, std::span<const float> weight, std::span<const float> bias,
                 double eps);

/// Rotation as multiplication by exp(i * position * inv_freq) of the complex numbers
/// x[i] + i x[i + half].
Matrix Rope(ConstRows x, int64_t head_dim, std::span<const int32_t> positions,
            std::span<const double> inv_freq);

/// Two passes over all keys per query: softmax, then the weighted sum.
Matrix Attention(ConstRows q, const KvView& kv, const AttentionOptions& options);

double LogSumExp(std::span<const float> logits);

/// p_n(t) with its guard: T_n(t) = cos(n acos t), beyond 1 cosh(n acosh |t|) with parity; t^n.
double SeriesValue(const SeriesUnits& units, int64_t n, double z, double centre, double inv_radius);
/// [m, num_features()], as SeriesFeatures orders them.
Matrix SeriesFeatures(const SeriesUnits& units, ConstRows z, ConstRows u);

}  // namespace unswift::reference
