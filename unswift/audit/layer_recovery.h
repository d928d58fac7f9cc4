// The pass over one layer's theta that all block attacks share.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "unswift/audit/attack.h"
#include "unswift/ops/aligned_buffer.h"

namespace unswift {

/// One attack's score over units.
struct AttackTally {
  int64_t units = 0, recovered = 0;
  int64_t entries = 0, exact = 0;
  double max_relative_error = 0.0;
  double thread_seconds = 0.0;
  void Add(const AttackTally& other);
};

/// What was found about one layer.
struct RecoveredLayer {
  DType dtype = DType::kF32;
  int64_t hidden_size = 0, units = 0;
  AlignedBuffer down;              ///< [hidden_size, units], stored type of the original
  std::vector<int8_t> sign;        ///< [units], of z against the original's
  std::vector<float> z_bias;       ///< [units], where the original has a bias there; else empty
  std::vector<float> output_bias;  ///< [hidden_size], the same
  std::vector<UnitOutcome> outcome;
  std::vector<FunctionFit> fit;

  MatrixView down_view() const {
    const int64_t row_bytes = units * BlockBytes(dtype);
    return {dtype, hidden_size, units, row_bytes, down.bytes()};
  }
};

struct LayerPass {
  RecoveredLayer recovered;
  std::vector<AttackTally> tallies;  ///< one per attack
};

/// Original unit of every protected unit, by its input rows, of which a few elements may differ
/// (recipient marks); -1 where there is none like it.
std::vector<int64_t> MatchUnits(const Model& release, const Model& original, int64_t layer);

/// The original's columns to compare with.
struct KnownColumns {
  const MatrixView* down = nullptr;       ///< [hidden_size, intermediate_size]; null: none known
  std::span<const int64_t> unit_of = {};  ///< MatchUnits
};

/// Runs the block attacks over one protected layer. Without known columns errors are those against
/// the consistent_rounding solution plus what its own residuals make likely.
/// Cost: streams theta once; private memory: the recovered layer, and per thread 64 units' theta as
/// float32.
LayerPass RecoverSeries(const LayerFacts& facts, std::span<const Attack* const> attacks,
                        const KnownColumns& known, ThreadPool& pool);

/// The same for a layer of a model; original may be null.
LayerPass RecoverLayer(const Model& release, int64_t layer, std::span<const Attack* const> attacks,
                       const Model* original, ThreadPool& pool);

}  // namespace unswift
