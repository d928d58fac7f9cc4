// Recovers the output weights of sixteen units from their block of Theta.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "unswift/audit/block_kernels.h"
#include "unswift/audit/unit_function.h"

namespace unswift {

/// What a block's orders say about one unit, before any row is looked at again.
struct UnitModel {
  FunctionFit fit;
  double rank1_residual = 0.0;  ///< share of Theta that is not w c^T, each order scaled alike
  std::array<double, kAuditOrders> c{};           ///< Theta ~ w c^T, stored orders
  std::array<double, kAuditOrders> functional{};  ///< w = Theta q, metric of the function of z
  std::array<double, kAuditOrders> relative{};    ///< w = Theta q, metric of relative errors
  std::array<double, kAuditOrders> by_error{};    ///< w = Theta q, weighted by residuals
  bool dead = true;                               ///< Theta is zero: so is the weight
};

/// The unit's model from its orders' Gram matrix (gram[n][m][lane] of GramOfOrders).
/// Carry-rounded orders are far from w c^T one by one, but their sum is not: hence `functional`.
/// Source: docs/threat_model.md, "What an attacker computes".
UnitModel ModelOfUnit(const LayerFacts& facts, int64_t unit,
                      const LaneDoubles (*gram)[kAuditOrders], int lane);

/// How sure a unit's result is.
struct UnitOutcome {
  bool on_grid = false;     ///< the original's storage type was recognised in the numbers
  double grid_score = 1.0;  ///< ScanForGrid's, at the end; 1/12 = nothing recognised
  double noise = 0.0;       ///< relative error of an entry before rounding to the grid
};

/// Working memory of one thread, and the steps that the attacks share.
class BlockRecovery {
 public:
  explicit BlockRecovery(const LayerFacts& facts);

  /// Starts a block: Gram matrix and the models of its units.
  void Start(const ThetaBlock& block);
  const ThetaBlock& block() const { return *block_; }
  const UnitModel& unit(int lane) const { return units_[lane]; }

  /// w [rows][16] = Theta q with one vector per unit; pick(unit) returns its q.
  template <typename Pick>
  std::span<const float> Project(const Pick& pick) {
    for (int lane = 0; lane < kAuditLanes; ++lane) {
      const bool used = lane < block_->num_units && !units_[lane].dead;
      for (int n = 0; n < block_->num_orders; ++n) {
        weights_[n][lane] = used ? pick(units_[lane])[n] : 0.0;
      }
    }
    ProjectRows(*block_, weights_.data(), w_.data());
    return Result();
  }

  /// The lowest stored order divided by its coefficient.
  std::span<const float> Direct();
  /// The better of the two metrics for this release, at the activation's scale.
  std::span<const float> LeastSquares();
  /// Rounds to the original's storage type where that can be recognised, learning the errors of the
  /// orders from the rows; else the least-squares solution. outcome [16].
  std::span<const float> ConsistentRounding(std::span<UnitOutcome> outcome);

 private:
  std::span<const float> Result() const {
    return {w_.data(), static_cast<size_t>(block_->rows) * kAuditLanes};
  }
  bool IsNearest(const UnitModel& unit) const;
  /// Where a try looks for the scale of the least-squares solution.
  enum class Search { kTrusting, kNarrow, kUnit, kOctave };
  void FindScale(Search search, LaneFloats& scale, LaneFloats& score) const;
  GridScan MakeScan(const LaneFloats& width) const;
  bool IsThetaGrid(int lane, double scale) const;
  void Snap(const LaneFloats& scale);
  void LearnErrors();
  void LearnFrom(int rounds, LaneFloats& score);
  void KeepBetter(const LaneFloats& score, LaneFloats& best_score);
  bool AllBelow(const LaneFloats& score, double limit) const;
  UnitOutcome OutcomeOf(int lane, double score) const;

  const LayerFacts& facts_;
  const int mantissa_bits_;  // of the original's storage type; 0 = no grid to find
  const ThetaBlock* block_ = nullptr;
  std::unique_ptr<LaneDoubles[][kAuditOrders]> gram_;
  std::array<UnitModel, kAuditLanes> units_;
  struct Projection {
    alignas(64) LaneDoubles rows[kAuditOrders];
    LaneDoubles& operator[](int n) { return rows[n]; }
    const LaneDoubles* data() const { return rows; }
  } weights_;
  std::vector<float> w_, snapped_, best_, squares_;
};

}  // namespace unswift
