// Theta unread: the MLP as an oracle, its outputs for inputs of the attacker's choice, and a linear
// solve for the output weights. What somebody has who is served one MLP but holds the gates. Runs
// on one layer where that is cheap, and states the cost for all.
#include <chrono>
#include <cmath>

#include "unswift/audit/attack.h"
#include "unswift/audit/layer_recovery.h"
#include "unswift/audit/linear_algebra.h"
#include "unswift/base/random.h"
#include "unswift/ops/matmul.h"
#include "unswift/tensor/convert.h"

namespace unswift {
namespace {

constexpr int64_t kMaxUnknowns = 1024;  // about a second of arithmetic
// Answers per unknown: with as many as unknowns the series' own error would be amplified.
constexpr double kOversampling = 4.0;

using Matrix = Eigen::MatrixXd;

/// What the oracle is asked, what it answers, and the features that the attacker computes.
struct Queries {
  Matrix features;  // [tokens, unknowns]
  Matrix answers;   // [tokens, hidden]
};

Queries Ask(const AuditTarget& target, int64_t layer, int64_t tokens, bool both_signs) {
  const Model& model = *target.release;
  const LayerWeights& weights = model.layers()[layer];
  const SeriesWeights& series = *weights.mlp.series;
  const int64_t hidden = model.config().hidden_size, inner = model.config().intermediate_size;
  const int64_t units = series.protected_units();
  Random random(/*seed=*/1);
  std::vector<float> x(tokens * hidden), z(tokens * inner), u(tokens * inner), y(tokens * hidden);
  for (int64_t i = 0; i < tokens * hidden; ++i) {
    x[i] = static_cast<float>(random.NextNormal()) * weights.post_attention_norm.weight[i % hidden];
  }
  const Rows x_rows(x.data(), tokens, hidden), z_rows(z.data(), tokens, inner);
  const Rows u_rows(u.data(), tokens, inner), y_rows(y.data(), tokens, hidden);
  ThreadPool& pool = *target.pool;
  MatMul(x_rows, weights.mlp.gate_proj.weight, nullptr, z_rows, pool);
  MatMul(x_rows, weights.mlp.up_proj.weight, weights.mlp.up_proj.bias_or_null(), u_rows, pool);
  SeriesDownProjection(series.units(), z_rows.Columns(0, units), u_rows.Columns(0, units),
                       series.theta, y_rows, pool, false);
  Queries queries{Matrix(tokens, units * (both_signs ? 2 : 1)), Matrix(tokens, hidden)};
  const Activation activation = model.config().hidden_act;
  pool.ParallelFor(tokens, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t j = 0; j < units; ++j) {
        const double gate = z_rows.row(t)[j], up = u_rows.row(t)[j];
        queries.features(t, j) = ActivationValue(activation, gate) * up;
        if (both_signs) queries.features(t, units + j) = ActivationValue(activation, -gate) * up;
      }
      for (int64_t i = 0; i < hidden; ++i) queries.answers(t, i) = y_rows.row(t)[i];
    }
  });
  return queries;
}

/// Columns of the original's down_proj for the units, [units, hidden].
Matrix Truth(const AuditTarget& target, int64_t layer) {
  const std::vector<int64_t> unit_of = MatchUnits(*target.release, *target.original, layer);
  const MatrixView& down = target.original->layers()[layer].mlp.down_proj.weight;
  Matrix truth = Matrix::Zero(unit_of.size(), down.rows);
  std::vector<float> row(down.cols);
  for (int64_t i = 0; i < down.rows; ++i) {
    RowToF32(down.dtype, down.row(i), row);
    for (size_t j = 0; j < unit_of.size(); ++j) {
      if (unit_of[j] >= 0) truth(j, i) = row[unit_of[j]];
    }
  }
  return truth;
}

void Judge(const Queries& queries, const Matrix& solved, const AuditTarget& target, int64_t layer,
           AttackResult& result) {
  const int64_t units = target.release->layers()[layer].mlp.series->protected_units();
  // Without an original: how well the solution explains answers.
  const double fit = (queries.features * solved - queries.answers).norm() / queries.answers.norm();
  result.details["answer_error"] = fit;
  if (target.original == nullptr) {
    result.estimated = true;
    result.recovered_fraction = fit <= kRecoveredError ? 1.0 : 0.0;
    result.max_relative_error = fit;
    return;
  }
  const Matrix truth = Truth(target, layer);
  int64_t recovered = 0;
  for (int64_t j = 0; j < units; ++j) {
    // Of the two signs' solutions the one that is not nothing.
    int64_t row = j;
    if (solved.rows() > units && solved.row(units + j).norm() > solved.row(j).norm()) row += units;
    const double error = (solved.row(row) - truth.row(j)).norm() / truth.row(j).norm();
    recovered += error <= kRecoveredError ? 1 : 0;
    result.max_relative_error = std::max(result.max_relative_error, error);
  }
  result.recovered_fraction = static_cast<double>(recovered) / static_cast<double>(units);
}

Result<AttackResult> SolveFromAnswers(const AuditTarget& target) {
  const auto start = std::chrono::steady_clock::now();
  AttackResult result;
  const ModelConfig& config = target.release->config();
  const int64_t layer = target.manifest->layers.front().layer;
  const bool both_signs = target.manifest->sign_flip;
  const int64_t unknowns =
      target.release->layers()[layer].mlp.series->protected_units() * (both_signs ? 2 : 1);
  const int64_t tokens = static_cast<int64_t>(kOversampling * static_cast<double>(unknowns));
  const double m = static_cast<double>(unknowns);
  const double layers = static_cast<double>(target.manifest->layers.size());
  // Normal equations, right-hand sides, factorisation, substitution; a multiply-add is two.
  const double operations = static_cast<double>(tokens) * m * m +
                            2.0 * static_cast<double>(tokens) * m * config.hidden_size +
                            m * m * m / 3.0 + 2.0 * m * m * config.hidden_size;
  result.details = {{"tokens_per_layer", tokens}, {"operations_all_layers", operations * layers}};
  const bool hidden_bias = config.mlp_bias;
  if (hidden_bias || unknowns > kMaxUnknowns) {
    result.applies = false;
    result.verdict =
        fmt::format("not run ({}); would take {} answers of each MLP and {:.2g} operations in all",
                    hidden_bias ? "hidden biases make it a nonlinear problem" : "large", tokens,
                    operations * layers);
    return result;
  }
  const Queries queries = Ask(target, layer, tokens, both_signs);
  const Matrix solved = SolveLeastSquares(queries.features, queries.answers);
  Judge(queries, solved, target, layer, result);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  result.details["layer"] = layer;
  result.verdict = fmt::format(
      "layer {} from {} answers of its MLP without reading theta, largest error {:.1e}; all {} "
      "layers: about {:.0f} s",
      layer, tokens, result.max_relative_error, target.manifest->layers.size(),
      result.seconds * layers);
  return result;
}

}  // namespace

const Attack kBlackBox = {.name = "black_box", .game = "EXTRACT", .model = SolveFromAnswers};

}  // namespace unswift
