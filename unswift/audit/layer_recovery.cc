#include "unswift/audit/layer_recovery.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <memory>
#include <string_view>
#include <unordered_map>

#include "unswift/ops/convert.h"
#include "unswift/tensor/convert.h"

namespace unswift {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Relative error of a column that its outcome makes likely: entries on the wrong side of a
/// rounding step when the grid was found, else the fit's own error.
double LikelyError(const UnitOutcome& outcome, DType dtype) {
  if (!outcome.on_grid) return outcome.noise;
  if (outcome.noise == 0.0) return 0.0;
  const double half_step = 0.35 * std::ldexp(1.0, dtype == DType::kBF16 ? -7 : -10);
  return 2.0 * half_step * std::sqrt(std::erfc(half_step / (outcome.noise * std::sqrt(2.0))));
}

/// Columns of the original for a block, [rows][16].
void GatherColumns(const MatrixView& down, const int64_t* units, int count,
                   std::vector<float>& out) {
  const int64_t element = BlockBytes(down.dtype);
  out.assign(down.rows * kAuditLanes, 0.0f);
  for (int64_t i = 0; i < down.rows; ++i) {
    for (int lane = 0; lane < count; ++lane) {
      if (units[lane] < 0) continue;
      RowToF32(down.dtype, down.row(i) + units[lane] * element, {&out[i * kAuditLanes + lane], 1});
    }
  }
}

struct ColumnErrors {
  LaneDoubles relative = {};
  std::array<int64_t, kAuditLanes> exact{};
};

/// Factor of each column of `got` that brings it nearest to that of `want`.
void NearestScales(std::span<const float> got, std::span<const float> want, LaneDoubles& scale) {
  LaneDoubles cross = {}, square = {};
  for (size_t row = 0; row < got.size(); row += kAuditLanes) {
    for (int lane = 0; lane < kAuditLanes; ++lane) {
      const double value = got[row + lane];
      cross[lane] += value * want[row + lane];
      square[lane] += value * value;
    }
  }
  for (int lane = 0; lane < kAuditLanes; ++lane) {
    if (cross[lane] != 0.0) scale[lane] = cross[lane] / square[lane];
  }
}

/// Shapes: [rows][16]. scale_free: up to a factor for each column.
ColumnErrors CompareColumns(std::span<const float> got, std::span<const float> want,
                            bool scale_free) {
  LaneDoubles scale, off = {}, size = {};
  std::fill_n(scale, kAuditLanes, 1.0);
  if (scale_free) NearestScales(got, want, scale);
  ColumnErrors errors;
  for (size_t row = 0; row < got.size(); row += kAuditLanes) {
    for (int lane = 0; lane < kAuditLanes; ++lane) {
      const double of_want = want[row + lane];
      const double difference = scale[lane] * got[row + lane] - of_want;
      off[lane] += difference * difference;
      size[lane] += of_want * of_want;
      errors.exact[lane] += got[row + lane] == want[row + lane] ? 1 : 0;
    }
  }
  for (int lane = 0; lane < kAuditLanes; ++lane) {
    errors.relative[lane] =
        size[lane] > 0.0 ? std::sqrt(off[lane] / size[lane]) : (off[lane] > 0.0 ? 1.0 : 0.0);
  }
  return errors;
}

/// One thread's share of a layer.
class BlockWorker {
 public:
  BlockWorker(const LayerFacts& facts, std::span<const Attack* const> attacks,
              const KnownColumns& known, RecoveredLayer& recovered)
      : facts_(facts),
        attacks_(attacks),
        original_(known.down),
        unit_of_(known.unit_of),
        recovered_(recovered),
        reader_(*facts.series),
        recovery_(facts),
        estimates_(attacks.size()),
        tallies_(attacks.size()) {}

  void Run(int64_t first_unit) {
    const auto start = Clock::now();
    const std::span<const ThetaBlock> blocks = reader_.Read(first_unit);
    const double shared = SecondsSince(start) / static_cast<double>(blocks.size());
    for (const ThetaBlock& block : blocks) RunBlock(block, shared);
  }

  const std::vector<AttackTally>& tallies() const { return tallies_; }

 private:
  void RunBlock(const ThetaBlock& block, double shared_seconds) {
    auto start = Clock::now();
    recovery_.Start(block);
    shared_seconds += SecondsSince(start);
    UnitOutcome storage[kAuditLanes];
    const std::span<UnitOutcome> outcome(storage);
    // Consistent rounding is always the last to run: it goes on from the others' models.
    for (size_t a = 0; a < attacks_.size(); ++a) {
      if (attacks_[a] == &kConsistentRounding) continue;
      start = Clock::now();
      const auto estimate = attacks_[a]->block(recovery_, outcome);
      estimates_[a].assign(estimate.begin(), estimate.end());
      tallies_[a].thread_seconds += shared_seconds + SecondsSince(start);
    }
    start = Clock::now();
    const auto best = kConsistentRounding.block(recovery_, outcome);
    const double seconds = shared_seconds + SecondsSince(start);
    Keep(block, best, outcome);
    if (original_ != nullptr) {
      GatherColumns(*original_, unit_of_.data() + block.first_unit, block.num_units, truth_);
    }
    for (size_t a = 0; a < attacks_.size(); ++a) {
      const bool is_best = attacks_[a] == &kConsistentRounding;
      if (is_best) tallies_[a].thread_seconds += seconds;
      Score(*attacks_[a], block, is_best ? best : std::span<const float>(estimates_[a]), best,
            outcome, tallies_[a]);
    }
  }

  void Keep(const ThetaBlock& block, std::span<const float> best,
            std::span<const UnitOutcome> outcome) {
    const int64_t element = BlockBytes(recovered_.dtype);
    const int64_t row_bytes = recovered_.units * element;
    std::byte* to = recovered_.down.bytes() + block.first_unit * element;
    // Rows are far apart: without asking ahead each would wait for memory.
    constexpr int64_t kAhead = 16;
    for (int64_t i = 0; i < block.rows; ++i) {
      if (i + kAhead < block.rows) __builtin_prefetch(to + (i + kAhead) * row_bytes, 1);
      FastRowFromF32(recovered_.dtype, best.subspan(i * kAuditLanes, block.num_units),
                     to + i * row_bytes);
    }
    for (int lane = 0; lane < block.num_units; ++lane) {
      const int64_t unit = block.first_unit + lane;
      recovered_.outcome[unit] = outcome[lane];
      recovered_.fit[unit] = recovery_.unit(lane).fit;
      recovered_.sign[unit] = static_cast<int8_t>(recovery_.unit(lane).fit.sign);
    }
  }

  void Score(const Attack& attack, const ThetaBlock& block, std::span<const float> estimate,
             std::span<const float> best, std::span<const UnitOutcome> outcome,
             AttackTally& tally) {
    const std::span<const float> want = original_ != nullptr ? truth_ : best;
    const ColumnErrors errors = CompareColumns(estimate, want, attack.scale_free);
    for (int lane = 0; lane < block.num_units; ++lane) {
      const bool lost = original_ != nullptr && unit_of_[block.first_unit + lane] < 0;
      double relative = lost ? 1.0 : errors.relative[lane];
      if (original_ == nullptr) relative += LikelyError(outcome[lane], recovered_.dtype);
      ++tally.units;
      tally.recovered += relative <= kRecoveredError ? 1 : 0;
      tally.max_relative_error = std::max(tally.max_relative_error, relative);
      tally.entries += block.rows;
      tally.exact += lost ? 0 : errors.exact[lane];
    }
  }

  const LayerFacts& facts_;
  const std::span<const Attack* const> attacks_;
  const MatrixView* original_;
  const std::span<const int64_t> unit_of_;
  RecoveredLayer& recovered_;
  ThetaReader reader_;
  BlockRecovery recovery_;
  std::vector<std::vector<float>> estimates_;
  std::vector<AttackTally> tallies_;
  std::vector<float> truth_;
};

/// The biases that the series had swallowed.
void RecoverBiases(const SeriesWeights& series, const LayerFacts& facts,
                   RecoveredLayer& recovered) {
  const auto round = [&](float value) {
    std::byte stored[4];
    FastRowFromF32(facts.weight_dtype, {&value, 1}, stored);
    FastRowToF32(facts.weight_dtype, stored, {&value, 1});
    return value;
  };
  if (facts.hidden_bias) {
    for (const FunctionFit& fit : recovered.fit) {
      recovered.z_bias.push_back(round(static_cast<float>(fit.bias)));
    }
  }
  if (series.bias.empty()) return;
  recovered.output_bias = series.bias;
  const MatrixView down = recovered.down_view();
  std::vector<float> row(recovered.units);
  for (int64_t i = 0; i < recovered.hidden_size; ++i) {
    double sum = series.bias[i];
    FastRowToF32(down.dtype, down.row(i), row);
    for (int64_t j = 0; j < recovered.units; ++j) sum -= row[j] * recovered.fit[j].constant;
    recovered.output_bias[i] = round(static_cast<float>(sum));
  }
}

std::string RowBytes(const MatrixView& matrix, int64_t row) {
  return std::string(reinterpret_cast<const char*>(matrix.row(row)), matrix.row_bytes);
}

/// Finds rows of a matrix by their bytes, also when a few elements differ: recipient marks move one
/// in 64, so that most windows of a row are still as they were.
class RowIndex {
 public:
  explicit RowIndex(const MatrixView& matrix)
      : matrix_(matrix), window_bytes_(kWindow * BlockBytes(matrix.dtype)) {}

  /// -1 when there is none.
  int64_t Find(const std::string& row) {
    const size_t count = std::min<size_t>(kMaxWindows, row.size() / window_bytes_);
    for (size_t w = 0; w < count; ++w) {
      if (w == windows_.size()) AddWindow(w);
      const auto found = windows_[w].find(row.substr(w * window_bytes_, window_bytes_));
      if (found != windows_[w].end() && IsAlike(row, found->second)) return found->second;
    }
    return -1;
  }

 private:
  void AddWindow(size_t w) {
    auto& rows = windows_.emplace_back();
    for (int64_t j = 0; j < matrix_.rows; ++j) {
      rows.emplace(RowBytes(matrix_, j).substr(w * window_bytes_, window_bytes_), j);
    }
  }
  /// At least nine in ten elements are the same.
  bool IsAlike(const std::string& row, int64_t candidate) const {
    const std::string other = RowBytes(matrix_, candidate);
    const size_t element = window_bytes_ / kWindow;
    size_t same = 0;
    for (size_t i = 0; i < row.size(); i += element) {
      same += row.compare(i, element, other, i, element) == 0 ? 1 : 0;
    }
    return same * element * 10 >= row.size() * 9;
  }

  static constexpr size_t kWindow = 8, kMaxWindows = 16;
  const MatrixView& matrix_;
  const size_t window_bytes_;
  std::vector<std::unordered_map<std::string, int64_t>> windows_;
};

}  // namespace

void AttackTally::Add(const AttackTally& other) {
  units += other.units;
  recovered += other.recovered;
  entries += other.entries;
  exact += other.exact;
  max_relative_error = std::max(max_relative_error, other.max_relative_error);
  thread_seconds += other.thread_seconds;
}

std::vector<int64_t> MatchUnits(const Model& release, const Model& original, int64_t layer) {
  RowIndex index(original.layers()[layer].mlp.up_proj.weight);
  const MatrixView& rows = release.layers()[layer].mlp.up_proj.weight;
  const int64_t element = BlockBytes(rows.dtype);
  std::vector<int64_t> matched(release.layers()[layer].mlp.series->protected_units());
  for (size_t j = 0; j < matched.size(); ++j) {
    std::string row = RowBytes(rows, static_cast<int64_t>(j));
    matched[j] = index.Find(row);
    if (matched[j] >= 0) continue;
    // A plain MLP's row with a flipped sign: the top bit of each value.
    for (size_t i = element - 1; i < row.size(); i += element) row[i] ^= '\x80';
    matched[j] = index.Find(row);
  }
  return matched;
}

LayerPass RecoverSeries(const LayerFacts& facts, std::span<const Attack* const> attacks,
                        const KnownColumns& known, ThreadPool& pool) {
  const SeriesWeights& series = *facts.series;
  LayerPass pass;
  RecoveredLayer& recovered = pass.recovered;
  recovered.dtype = facts.weight_dtype;
  recovered.hidden_size = series.theta.rows;
  recovered.units = series.protected_units();
  recovered.down.GetBytes(recovered.hidden_size * recovered.units * BlockBytes(recovered.dtype));
  recovered.sign.assign(recovered.units, int8_t{1});
  recovered.outcome.resize(recovered.units);
  recovered.fit.resize(recovered.units);
  std::vector<std::unique_ptr<BlockWorker>> workers(pool.num_threads());
  const int64_t groups = (recovered.units + ThetaReader::kUnits - 1) / ThetaReader::kUnits;
  pool.ParallelForDynamic(groups, [&](int64_t group, int thread) {
    if (workers[thread] == nullptr) {
      workers[thread] = std::make_unique<BlockWorker>(facts, attacks, known, recovered);
    }
    workers[thread]->Run(group * ThetaReader::kUnits);
  });
  pass.tallies.resize(attacks.size());
  for (const auto& worker : workers) {
    if (worker == nullptr) continue;
    for (size_t a = 0; a < attacks.size(); ++a) pass.tallies[a].Add(worker->tallies()[a]);
  }
  RecoverBiases(series, facts, recovered);
  return pass;
}

LayerPass RecoverLayer(const Model& release, int64_t layer, std::span<const Attack* const> attacks,
                       const Model* original, ThreadPool& pool) {
  const LayerFacts facts = FactsOf(release, layer, pool);
  if (original == nullptr) return RecoverSeries(facts, attacks, {}, pool);
  const std::vector<int64_t> unit_of = MatchUnits(release, *original, layer);
  const KnownColumns known{&original->layers()[layer].mlp.down_proj.weight, unit_of};
  return RecoverSeries(facts, attacks, known, pool);
}

}  // namespace unswift
