#include "unswift/marks/unit_alignment.h"

#include <algorithm>
#include <cmath>

#include "unswift/ops/convert.h"
#include "unswift/ops/matmul.h"

namespace unswift {
namespace {

constexpr double kSameUnit = 0.8;  // cosine from which a match is believed

double Dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0.0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

/// Rows as float32, each of length 1 (zero rows stay).
std::vector<float> UnitRows(const MatrixView& matrix, ThreadPool& pool) {
  std::vector<float> rows(matrix.rows * matrix.cols);
  pool.ParallelFor(matrix.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const std::span<float> row(rows.data() + r * matrix.cols, matrix.cols);
      FastMatrixRowToF32(matrix, r, row);
      const double square = Dot(row, row);
      const float inverse = square > 0.0 ? static_cast<float>(1.0 / std::sqrt(square)) : 0.0f;
      for (float& value : row) value *= inverse;
    }
  });
  return rows;
}

/// The identity where rows of the same index are alike; false when too many are not.
bool InTheSameOrder(ConstRows suspect, ConstRows original, std::vector<int64_t>& unit) {
  int64_t alike = 0;
  for (int64_t j = 0; j < original.rows; ++j) {
    const bool same = Dot(suspect.row(j), original.row(j)) >= kSameUnit;
    unit[j] = same ? j : -1;
    alike += same ? 1 : 0;
  }
  return alike >= original.rows * 9 / 10;
}

void MatchByCosine(ConstRows suspect, ConstRows original, std::vector<int64_t>& unit,
                   ThreadPool& pool) {
  std::vector<float> cosines(original.rows * suspect.rows);
  const Rows table(cosines.data(), original.rows, suspect.rows);
  const MatrixView weight{DType::kF32, suspect.rows, suspect.cols, suspect.cols * 4,
                          reinterpret_cast<const std::byte*>(suspect.data)};
  MatMul(original, weight, nullptr, table, pool);
  std::vector<char> taken(suspect.rows, 0);
  for (int64_t j = 0; j < original.rows; ++j) {
    const std::span<float> row = table.row(j);
    const int64_t best = std::max_element(row.begin(), row.end()) - row.begin();
    const bool found = row[best] >= kSameUnit && taken[best] == 0;
    unit[j] = found ? best : -1;
    if (found) taken[best] = 1;
  }
}

/// The factor between a unit's up rows: what its down column was divided by.
float ScaleOf(std::span<const float> suspect, std::span<const float> original) {
  const double square = Dot(original, original);
  const double scale = square > 0.0 ? Dot(suspect, original) / square : 1.0;
  // Nearest to an untouched one when both are: a mark moves the factor by less than this.
  return std::abs(scale - 1.0) < 1e-3 ? 1.0f : static_cast<float>(scale);
}

}  // namespace

UnitAlignment AlignUnits(const MlpWeights& suspect, const MlpWeights& original, ThreadPool& pool) {
  const bool gated = original.gate_proj.weight.rows > 0;
  const MatrixView& ours = gated ? original.gate_proj.weight : original.up_proj.weight;
  const MatrixView& theirs = gated ? suspect.gate_proj.weight : suspect.up_proj.weight;
  const std::vector<float> a = UnitRows(theirs, pool), b = UnitRows(ours, pool);
  const ConstRows suspect_rows(a.data(), theirs.rows, theirs.cols);
  const ConstRows original_rows(b.data(), ours.rows, ours.cols);
  UnitAlignment alignment;
  alignment.suspect_unit.resize(ours.rows);
  if (!InTheSameOrder(suspect_rows, original_rows, alignment.suspect_unit)) {
    MatchByCosine(suspect_rows, original_rows, alignment.suspect_unit, pool);
  }
  alignment.scale.assign(ours.rows, 1.0f);
  std::vector<float> x(ours.cols), y(ours.cols);
  for (int64_t j = 0; j < ours.rows; ++j) {
    const int64_t unit = alignment.suspect_unit[j];
    if (unit < 0) continue;
    ++alignment.num_matched;
    if (!gated) continue;
    FastMatrixRowToF32(suspect.up_proj.weight, unit, x);
    FastMatrixRowToF32(original.up_proj.weight, j, y);
    alignment.scale[j] = ScaleOf(x, y);
  }
  return alignment;
}

}  // namespace unswift
