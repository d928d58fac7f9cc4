#include "unswift/marks/detector.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "unswift/marks/mark_code.h"
#include "unswift/marks/mark_positions.h"
#include "unswift/marks/unit_alignment.h"
#include "unswift/ops/convert.h"

namespace unswift {
namespace {

constexpr float kNotThere = std::numeric_limits<float>::quiet_NaN();
constexpr double kClip = 4.0;  // in typical differences of the matrix
constexpr int64_t kRowsPerPiece = 64;

/// One marked weight: how far the suspect's moved in the direction of a symbol of 1, and the step
/// that a mark takes.
struct Difference {
  int16_t symbol = 0;
  float moved = 0.0f, step = 0.0f;
};

/// The suspect's row of outputs in the original's coordinates; kNotThere where it has none.
void AlignedRow(const MatrixView& suspect, MarkedMatrix matrix, const UnitAlignment& alignment,
                int64_t row, std::vector<float>& scratch, std::span<float> out) {
  const bool by_unit = matrix == MarkedMatrix::kGate || matrix == MarkedMatrix::kUp;
  if (matrix == MarkedMatrix::kAttentionOutput) return FastMatrixRowToF32(suspect, row, out);
  if (by_unit) {
    const int64_t unit = alignment.suspect_unit[row];
    if (unit < 0) return std::fill(out.begin(), out.end(), kNotThere);
    FastMatrixRowToF32(suspect, unit, out);
    if (matrix == MarkedMatrix::kGate || alignment.scale[row] == 0.0f) return;
    for (float& value : out) value /= alignment.scale[row];
    return;
  }
  FastMatrixRowToF32(suspect, row, scratch);
  for (size_t j = 0; j < out.size(); ++j) {
    const int64_t unit = alignment.suspect_unit[j];
    out[j] = unit < 0 ? kNotThere : scratch[unit] * alignment.scale[j];
  }
}

float StoredToFloat(DType dtype, const std::byte* weight) {
  float value;
  FastRowToF32(dtype, weight, {&value, 1});
  return value;
}

/// Collects and weighs what all matrices show.
class Evidence {
 public:
  Evidence(MarkKey key, ThreadPool& pool)
      : key_(key), pool_(pool), sums_(kCodeLength, 0.0), weights_(kCodeLength, 0.0) {}

  Result<> AddMatrix(int64_t layer, MarkedMatrix matrix, const MatrixView& original,
                     const MatrixView& suspect, const UnitAlignment& alignment) {
    UNSWIFT_ASSIGN_OR_RETURN(const MarkPositions positions,
                             MarkPositions::Create(key_, layer, matrix));
    const int64_t num_pieces = (original.rows + kRowsPerPiece - 1) / kRowsPerPiece;
    std::vector<std::vector<Difference>> pieces(num_pieces);
    pool_.ParallelForDynamic(num_pieces, [&](int64_t piece, int) {
      std::vector<float> theirs(original.cols), scratch(suspect.cols);
      const int64_t end = std::min(original.rows, (piece + 1) * kRowsPerPiece);
      for (int64_t row = piece * kRowsPerPiece; row < end; ++row) {
        AlignedRow(suspect, matrix, alignment, row, scratch, theirs);
        Compare(original, row, positions.Row(row, original.cols), theirs, pieces[piece]);
      }
    });
    Weigh(pieces);
    return {};
  }

  /// Per symbol: positive for 1, in units of what it would be by chance.
  std::vector<double> Found() const {
    std::vector<double> found(kCodeLength, 0.0);
    for (int i = 0; i < kCodeLength; ++i) {
      if (weights_[i] > 0.0) found[i] = sums_[i] / std::sqrt(weights_[i]);
    }
    return found;
  }
  int64_t num_positions() const { return num_positions_; }

 private:
  static void Compare(const MatrixView& original, int64_t row, const std::vector<Mark>& marks,
                      const std::vector<float>& theirs, std::vector<Difference>& out) {
    const int64_t element = BlockBytes(original.dtype);
    for (const Mark& mark : marks) {
      if (!std::isfinite(theirs[mark.column])) continue;
      const std::byte* stored = original.row(row) + mark.column * element;
      std::byte stepped[sizeof(float)];
      std::memcpy(stepped, stored, element);
      if (!StepWeight(original.dtype, stepped, mark.direction)) continue;
      const float value = StoredToFloat(original.dtype, stored);
      const float step = StoredToFloat(original.dtype, stepped) - value;
      const float moved = theirs[mark.column] - value;
      out.push_back({mark.symbol, step > 0.0f ? moved : -moved, std::abs(step)});
    }
  }

  void Weigh(const std::vector<std::vector<Difference>>& pieces) {
    std::vector<float> sizes;
    for (const auto& piece : pieces) {
      for (const Difference& d : piece) sizes.push_back(std::abs(d.moved));
    }
    if (sizes.empty()) return;
    num_positions_ += static_cast<int64_t>(sizes.size());
    const auto middle = sizes.begin() + static_cast<int64_t>(sizes.size() / 2);
    std::nth_element(sizes.begin(), middle, sizes.end());
    const double typical = 1.4826 * *middle;
    if (!(typical > 0.0)) return;  // the original's own matrix
    for (const auto& piece : pieces) {
      for (const Difference& d : piece) {
        const double moved = std::clamp<double>(d.moved, -kClip * typical, kClip * typical);
        const double step = d.step / typical;
        sums_[d.symbol] += moved / typical * step;
        weights_[d.symbol] += step * step;
      }
    }
  }

  const MarkKey key_;
  ThreadPool& pool_;
  std::vector<double> sums_, weights_;
  int64_t num_positions_ = 0;
};

Result<> CheckPair(const Model& suspect, const Model& original) {
  const ModelConfig& a = suspect.config();
  const ModelConfig& b = original.config();
  const bool same = a.architecture == b.architecture && a.hidden_size == b.hidden_size &&
                    a.intermediate_size == b.intermediate_size &&
                    a.num_hidden_layers == b.num_hidden_layers && a.q_size() == b.q_size();
  if (same && !suspect.is_release() && !original.is_release() &&
      !original.has_quantized_weights()) {
    return {};
  }
  return MakeError(
      ErrorCode::kInvalidArgument,
      "[trace] base: expected the plain original of the suspect's shape ({} [{}, {}], {} "
      "layers), got {} [{}, {}], {} layers",
      a.architecture->name, a.hidden_size, a.intermediate_size, a.num_hidden_layers,
      original.is_release() ? "a release" : b.architecture->name, b.hidden_size,
      b.intermediate_size, b.num_hidden_layers);
}

}  // namespace

Result<TraceReport> TraceMarks(const Model& suspect, const Model& original,
                               const Registry& registry, ThreadPool& pool,
                               const ProgressFn& progress) {
  UNSWIFT_RETURN_IF_ERROR(CheckPair(suspect, original));
  TraceReport report;
  Evidence evidence(registry.key(), pool);
  const int64_t num_layers = original.config().num_hidden_layers;
  for (int64_t layer = 0; layer < num_layers; ++layer) {
    Report(progress, "trace", static_cast<double>(layer) / static_cast<double>(num_layers));
    const LayerWeights& theirs = suspect.layers()[layer];
    const LayerWeights& ours = original.layers()[layer];
    const UnitAlignment alignment = AlignUnits(theirs.mlp, ours.mlp, pool);
    report.units += static_cast<int64_t>(alignment.suspect_unit.size());
    report.matched_units += alignment.num_matched;
    for (const MarkedMatrix matrix : kMarkedMatrices) {
      const MatrixView& view = MatrixOf(ours, matrix);
      if (view.rows == 0) continue;
      UNSWIFT_RETURN_IF_ERROR(
          evidence.AddMatrix(layer, matrix, view, MatrixOf(theirs, matrix), alignment));
    }
  }
  Report(progress, "trace", 1.0);
  report.positions = evidence.num_positions();
  const std::vector<double> biases = SymbolBiases(registry.key());
  std::vector<double> found = evidence.Found();
  RemoveCommonPart(found, biases);
  for (size_t i = 0; i < registry.size(); ++i) {
    const double z = Score(found, biases, Codeword(registry.recipient_key(i), biases));
    report.recipients.push_back({registry.name(i), z, FalsePositiveOfAny(z, registry.size())});
  }
  std::ranges::stable_sort(report.recipients, std::greater<>(), &RecipientScore::z);
  return report;
}

}  // namespace unswift
