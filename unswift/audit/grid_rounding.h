// Exact weights from approximate ones: the original's storage type is a grid of few numbers, which
// fixes a unit's scale, and weights that are right teach how the orders err together.
// Source: docs/threat_model.md, "What an attacker computes".
#pragma once

#include <array>
#include <cstddef>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "unswift/audit/block_projection.h"
#include "unswift/audit/mantissa_evidence.h"
#include "unswift/audit/order_consistency.h"
#include "unswift/audit/order_errors.h"

namespace unswift {

/// How sure a unit's result is.
struct UnitOutcome {
  bool on_grid = false;     ///< the original's storage type was recognised in the numbers
  double grid_score = 1.0;  ///< ScanForGrid's, at the end; 1/12 = nothing recognised
  double noise = 0.0;       ///< relative error of an entry before rounding to the grid
};

/// Working memory of one thread.
class GridRounding {
 public:
  explicit GridRounding(const LayerFacts& facts);

  /// Rounds a block's least-squares solution to the original's storage type, unit by unit where the
  /// type can be recognised; others stay as they are. What is to be learned, is from the sample, a
  /// block of some of the rows. Shapes: units, outcome [16]; result [rows][16], valid until the
  /// next call.
  std::span<const float> Round(const ThetaBlock& block, const ThetaBlock& sample,
                               std::span<const UnitModel> units, std::span<UnitOutcome> outcome);

 private:
  /// Where a scan looks for the scale of an estimate.
  enum class Search { kTrusting, kNarrow, kUnit, kOctave, kHere };

  /// Of f32 theta, whose lowest order is w c to the last bit, nearly: the coefficient near the
  /// guess with which it lies on the weights' grid, and how well it does.
  void ExactCoefficients(LaneDoubles& c, LaneFloats& score);
  void RoundByEvidence();
  void RoundByScans();
  void Project(const ThetaBlock& block, const BlockVectors& q);
  /// Divides a first solution by a scale, and rounds.
  void Begin(const BlockVectors& start, const LaneFloats& scale, LaneFloats& score);
  /// The same with the least-squares solution; then learns the errors, and rounds again.
  void Try(const LaneFloats& scale, bool must_learn, LaneFloats& score);
  void Scan(Search search, LaneFloats& scale, LaneFloats& score) const;
  GridScan MakeScan(const LaneFloats& width) const;
  /// Mean of the lowest order over w: rows count alike, since a few large ones would carry their
  /// own rounding errors into a regression.
  void LowestCoefficients(std::span<const float> w, LaneDoubles& c) const;
  void Rescale(LaneFloats& score);
  /// Rounds the estimate; sharpen: and the coefficients of the lowest order with it.
  void Snap(bool sharpen);
  void LearnErrors();
  void Keep(int lane, double score);
  BlockVectors LeastSquares() const;
  std::vector<CoefficientEstimate> CoefficientsOf(int lane, const CoefficientSearch& search) const;
  /// Lets the orders correct what was kept; units that they contradict are probed.
  void SettleKept();
  void Agree(int lane, const OrderPrediction& prediction, int from);
  /// Tries many coefficients for a unit, sixteen at a time, for one that the orders contradict
  /// less.
  void Probe(int lane, float contradicted);
  /// Takes sixteen copies of one unit for a block.
  void Repeat(const ThetaBlock& block, int lane, const UnitModel& unit);
  struct Trial {
    int lane = 0;
    float contradicted = 1.0f;                              ///< share of rows
    double cost = std::numeric_limits<double>::infinity();  ///< nats; infinite: none will do
  };
  /// The likeliest coefficient of those that the orders contradict in less than an acceptable share
  /// of rows. lowest_alone: starts from the lowest order's numbers, without the others.
  Trial TryAll(double guess, std::span<const CoefficientEstimate> candidates, float acceptable,
               bool lowest_alone);
  /// Moves the weights of the whole block to where the orders agree.
  void KeepAgreement();
  std::span<const float> Finish();
  bool AllBelow(const LaneFloats& score, double limit) const;
  UnitOutcome OutcomeOf(int lane) const;

  const LayerFacts& facts_;
  const int mantissa_bits_;  // of the original's storage type; 0 = no grid to find
  const MantissaEvidence* const evidence_;

  const ThetaBlock* block_ = nullptr;  // the sample, and at the end the whole block
  std::span<const UnitModel> units_;
  OrderErrors errors_;
  BlockProjection projection_;
  // What is tried now: estimate = Theta q, and it rounded; [rows][16].
  BlockVectors q_;
  std::vector<float> estimate_, snapped_;
  std::vector<std::byte> stored_;
  LaneDoubles guess_;   // coefficient of the lowest order, as least squares has it
  LaneDoubles lowest_;  // coefficient of the lowest order, where there is evidence
  std::array<double, kAuditLanes> unexplained_;  // Unexplained()
  // The best so far.
  BlockVectors kept_;
  LaneDoubles kept_lowest_;
  std::array<double, kAuditLanes> kept_score_;
  std::array<bool, kAuditLanes> on_grid_;
  // What the orders agree with; null for types without rounding that could be told.
  MantissaWidths bits_;
  std::unique_ptr<OrderConsistency> consistency_;
  std::array<bool, kAuditLanes> agreed_, moved_{};
  std::unique_ptr<OrderPrediction> agreed_prediction_;
  std::vector<float> chosen_, excess_;
  // Another one, for sixteen copies of a unit, and what it then works on.
  std::unique_ptr<GridRounding> probe_;
  ThetaBlock repeated_;
  std::vector<float> repeated_values_;
  std::array<UnitModel, kAuditLanes> repeated_units_;
};

}  // namespace unswift
