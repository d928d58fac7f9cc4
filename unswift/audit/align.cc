// Against a public base model: which unit of the base is which unit of the release (cosine of the
// rows that are in clear), and is the residual stream rotated (orthogonal Procrustes on the
// embeddings)? Undoes reordering and flips, and shows what a fine-tuned release shares with its
// base. Procrustes: Schoenemann 1966; its rotation is the orthogonal polar factor of the cross
// products, by Newton's iteration (Higham 1986): an inverse compiles in a fraction of an SVD's
// time.
#include <Eigen/LU>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>

#include "unswift/audit/attack.h"
#include "unswift/ops/convert.h"
#include "unswift/ops/matmul.h"

namespace unswift {
namespace {

constexpr double kSameUnit = 0.8;           // cosine from which a match is believed
constexpr int64_t kMaxProcrustes = 1024;    // the inverses grow with the cube
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

struct LayerMatch {
  int64_t units = 0, matched = 0;
  double least_cosine = 1.0;  ///< of the matched
};

/// Every release unit's nearest base unit; a base unit taken twice counts once.
LayerMatch MatchLayer(const Model& release, const Model& base, int64_t layer, ThreadPool& pool) {
  const MatrixView& ours = release.layers()[layer].mlp.up_proj.weight;
  const MatrixView& theirs = base.layers()[layer].mlp.up_proj.weight;
  const std::vector<float> a = UnitRows(ours, pool), b = UnitRows(theirs, pool);
  const MatrixView b_view{DType::kF32, theirs.rows, theirs.cols, theirs.cols * 4,
                          reinterpret_cast<const std::byte*>(b.data())};
  std::vector<float> cosines(ours.rows * theirs.rows);
  const Rows table(cosines.data(), ours.rows, theirs.rows);
  MatMul(ConstRows(a.data(), ours.rows, ours.cols), b_view, nullptr, table, pool);
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

/// The orthogonal matrix next to a square one; nothing when the matrix is singular to double
/// precision, which has no single one. Cost: 10 to 15 inverses.
std::optional<Eigen::MatrixXd> PolarFactor(Eigen::MatrixXd x) {
  constexpr int kMaxSteps = 40;
  const double size = std::sqrt(static_cast<double>(x.rows()));
  for (int step = 0; step < kMaxSteps; ++step) {
    const Eigen::MatrixXd inverse = x.inverse().transpose();
    if (!inverse.allFinite()) return std::nullopt;
    const double scale = std::sqrt(inverse.norm() / x.norm());
    const Eigen::MatrixXd next = 0.5 * (scale * x + inverse / scale);
    const double change = (next - x).norm();
    x = next;
    if (change <= 1e-12 * size) return x;
  }
  return std::nullopt;
}

struct EmbeddingRotation {
  double residual = 0.0;  ///< what it leaves unexplained
  double distance = 0.0;  ///< from no rotation: 0 to 1 and a little more
};

/// The rotation between the embeddings, where they determine one.
std::optional<EmbeddingRotation> Rotation(const Model& release, const Model& base,
                                          ThreadPool& pool) {
  const int64_t rows = std::min(release.embed_tokens().rows, kProcrustesRows);
  const int64_t cols = release.config().hidden_size;
  const std::vector<float> a = UnitRows(release.embed_tokens().Rows(0, rows), pool);
  const std::vector<float> b = UnitRows(base.embed_tokens().Rows(0, rows), pool);
  using Table = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Eigen::Map<const Table> from(a.data(), rows, cols), to(b.data(), rows, cols);
  const Eigen::MatrixXd cross = (from.transpose() * to).cast<double>();
  const std::optional<Eigen::MatrixXd> q = PolarFactor(cross);
  if (!q) return std::nullopt;
  const Eigen::MatrixXd turned = *q - Eigen::MatrixXd::Identity(cols, cols);
  return EmbeddingRotation{.residual = (from * q->cast<float>() - to).norm() / to.norm(),
                           .distance = turned.norm() / std::sqrt(2.0 * cols)};
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
    rotation = "embeddings that determine no rotation";
    if (const auto found = Rotation(release, base, *target.pool)) {
      result.details["rotation_residual"] = found->residual;
      result.details["rotation_distance"] = found->distance;
      rotation = fmt::format("embeddings agree within {:.1e} after a rotation {:.1e} from none",
                             found->residual, found->distance);
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
