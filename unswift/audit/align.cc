// Against a public base model: which unit of the base is which unit of the release (cosine of the
// rows that are in clear), and is the residual stream rotated (orthogonal Procrustes on the
// embeddings)? Undoes reordering and flips, and shows what a fine-tuned release shares with its
// base. Procrustes: Schoenemann 1966.
#include <algorithm>
#include <chrono>
#include <cmath>

#include "unswift/audit/attack.h"
#include "unswift/audit/linear_algebra.h"
#include "unswift/ops/convert.h"
#include "unswift/ops/matmul.h"

namespace unswift {
namespace {

constexpr double kSameUnit = 0.8;           // cosine from which a match is believed
constexpr int64_t kMaxProcrustes = 1024;    // the work grows with the cube
constexpr int64_t kProcrustesRows = 16384;  // embeddings looked at

/// Rows as float32, each of length 1.
std::vector<float> UnitRows(const MatrixView& matrix, ThreadPool& pool) {
  std::vector<float> rows(matrix.rows * matrix.cols);
  pool.ParallelFor(matrix.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const std::span<float> row(rows.data() + r * matrix.cols, matrix.cols);
      FastRowToF32(matrix.dtype, matrix.row(r), row);
      double square = 0.0;
      for (float v : row) square += static_cast<double>(v) * v;
      const float inverse = square > 0.0 ? static_cast<float>(1.0 / std::sqrt(square)) : 0.0f;
      for (float& v : row) v *= inverse;
    }
  });
  return rows;
}

MatrixView ViewOf(const std::vector<float>& values, int64_t rows, int64_t cols) {
  return {DType::kF32, rows, cols, cols * 4, reinterpret_cast<const std::byte*>(values.data())};
}

struct LayerMatch {
  int64_t units = 0, matched = 0;
  double least_cosine = 1.0;  ///< of the matched
};

/// Every release unit's nearest base unit; a base unit taken twice counts once.
LayerMatch MatchLayer(const Model& release, const Model& base, int64_t layer, ThreadPool& pool) {
  const MatrixView& ours = release.layers()[layer].mlp.up_proj.weight;
  const MatrixView& theirs = base.layers()[layer].mlp.up_proj.weight;
  const std::vector<float> a = UnitRows(ours, pool), b = UnitRows(theirs, pool);
  std::vector<float> cosines(ours.rows * theirs.rows);
  const Rows table(cosines.data(), ours.rows, theirs.rows);
  MatMul(ConstRows(a.data(), ours.rows, ours.cols), ViewOf(b, theirs.rows, theirs.cols), nullptr,
         table, pool);
  LayerMatch match;
  std::vector<char> taken(theirs.rows, 0);
  for (int64_t j = 0; j < ours.rows; ++j) {
    const std::span<float> row = table.row(j);
    const auto best = std::max_element(row.begin(), row.end(),
                                       [](float x, float y) { return std::abs(x) < std::abs(y); });
    ++match.units;
    if (std::abs(*best) < kSameUnit || taken[best - row.begin()] != 0) continue;
    taken[best - row.begin()] = 1;
    ++match.matched;
    match.least_cosine = std::min(match.least_cosine, static_cast<double>(std::abs(*best)));
  }
  return match;
}

std::vector<float> Transposed(const std::vector<float>& values, int64_t rows, int64_t cols) {
  std::vector<float> transposed(values.size());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) transposed[c * rows + r] = values[r * cols + c];
  }
  return transposed;
}

/// What takes the release's embeddings to the base's.
struct RotationFit {
  double residual = 0.0;  ///< what it leaves unexplained
  double distance = 0.0;  ///< from no rotation at all
};

/// Nothing where the embeddings do not determine a rotation.
std::optional<RotationFit> Rotation(const Model& release, const Model& base, ThreadPool& pool) {
  const int64_t rows = std::min(release.embed_tokens().rows, kProcrustesRows);
  const int64_t cols = release.config().hidden_size;
  const std::vector<float> a = UnitRows(release.embed_tokens().Rows(0, rows), pool);
  const std::vector<float> b = UnitRows(base.embed_tokens().Rows(0, rows), pool);
  const std::vector<float> a_columns = Transposed(a, rows, cols),
                           b_columns = Transposed(b, rows, cols);
  std::vector<float> square(cols * cols), turned_a(rows * cols);
  MatMul(ConstRows(a_columns.data(), cols, rows), ViewOf(b_columns, cols, rows), nullptr,
         Rows(square.data(), cols, cols), pool);
  using Table = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Eigen::MatrixXd cross = Eigen::Map<const Table>(square.data(), cols, cols).cast<double>();
  const std::optional<Eigen::MatrixXd> q = PolarFactor(cross);
  if (!q) return std::nullopt;
  Eigen::Map<Table>(square.data(), cols, cols) = q->transpose().cast<float>();
  MatMul(ConstRows(a.data(), rows, cols), ViewOf(square, cols, cols), nullptr,
         Rows(turned_a.data(), rows, cols), pool);
  const Eigen::Map<const Table> to(b.data(), rows, cols), turned(turned_a.data(), rows, cols);
  const auto identity = Eigen::MatrixXd::Identity(cols, cols);
  return RotationFit{(turned - to).norm() / to.norm(),
                     (*q - identity).norm() / std::sqrt(2.0 * static_cast<double>(cols))};
}

Result<AttackResult> Align(const AuditTarget& target) {
  AttackResult result;
  if (target.base == nullptr) {
    result.applies = false;
    result.verdict = "not run: needs --base, the public model that the original was made from";
    return result;
  }
  const Model& release = *target.release;
  const Model& base = *target.base;
  const ModelConfig& a = release.config();
  const ModelConfig& b = base.config();
  if (a.architecture != b.architecture || a.hidden_size != b.hidden_size ||
      a.intermediate_size != b.intermediate_size || a.num_hidden_layers != b.num_hidden_layers ||
      base.is_release()) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "[audit] base: expected a plain {} of the release's shape ([{}, {}], {} "
                     "layers), got {} [{}, {}], {} layers",
                     a.architecture->name, a.hidden_size, a.intermediate_size, a.num_hidden_layers,
                     base.is_release() ? "a release" : b.architecture->name, b.hidden_size,
                     b.intermediate_size, b.num_hidden_layers);
  }
  const auto start = std::chrono::steady_clock::now();
  LayerMatch total;
  for (int64_t layer = 0; layer < a.num_hidden_layers; ++layer) {
    const LayerMatch match = MatchLayer(release, base, layer, *target.pool);
    total.units += match.units;
    total.matched += match.matched;
    total.least_cosine = std::min(total.least_cosine, match.least_cosine);
  }
  result.recovered_fraction = static_cast<double>(total.matched) / static_cast<double>(total.units);
  result.max_relative_error = 1.0 - total.least_cosine;
  result.details = {{"least_cosine", total.least_cosine}};
  std::string rotation = "embeddings of a shape without a rotation test";
  // Fewer embeddings than dimensions would not determine a rotation.
  if (a.hidden_size <= kMaxProcrustes && a.vocab_size == b.vocab_size &&
      a.vocab_size >= a.hidden_size) {
    const std::optional<RotationFit> fit = Rotation(release, base, *target.pool);
    rotation = "embeddings do not determine a rotation";
    if (fit) {
      result.details["rotation_residual"] = fit->residual;
      result.details["rotation_distance"] = fit->distance;
      rotation = fmt::format("embeddings agree within {:.1e} after a rotation {:.1e} from none",
                             fit->residual, fit->distance);
    }
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  result.verdict = fmt::format("{} of {} units are units of the base, in a known order; {}",
                               total.matched, total.units, rotation);
  return result;
}

}  // namespace

const Attack kAlign = {.name = "align", .game = "TRACE", .model = Align};

}  // namespace unswift
