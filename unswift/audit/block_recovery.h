// Recovers the output weights of sixteen units from their block of Theta.
#pragma once

#include <array>
#include <memory>
#include <span>

#include "unswift/audit/block_projection.h"
#include "unswift/audit/grid_rounding.h"

namespace unswift {

/// Working memory of one thread, and the steps that the attacks share.
class BlockRecovery {
 public:
  explicit BlockRecovery(const LayerFacts& facts);

  /// Starts a block: a sample of its rows, their Gram matrix and the models of its units.
  void Start(const ThetaBlock& block);
  const ThetaBlock& block() const { return *block_; }
  const UnitModel& unit(int lane) const { return units_[lane]; }

  /// w [rows][16] = Theta q with one vector per unit; pick(unit) returns its q.
  template <typename Pick>
  std::span<const float> Project(const Pick& pick) {
    for (int lane = 0; lane < kAuditLanes; ++lane) {
      vectors_[lane] = units_[lane].dead ? OrderValues{} : pick(units_[lane]);
    }
    return projection_.Project(*block_, vectors_);
  }

  /// Rounds to the original's storage type where that can be recognised, learning the errors of the
  /// orders from the rows; else the least-squares solution. outcome [16].
  std::span<const float> ConsistentRounding(std::span<UnitOutcome> outcome);

 private:
  void TakeSample();

  const LayerFacts& facts_;
  const ThetaBlock* block_ = nullptr;
  ThetaBlock sample_;  // of the rows: enough to learn from
  AlignedBuffer sample_values_;
  std::unique_ptr<LaneDoubles[][kAuditOrders]> gram_;
  std::array<UnitModel, kAuditLanes> units_;
  BlockVectors vectors_;
  BlockProjection projection_;
  GridRounding rounding_;
};

}  // namespace unswift
