#include "unswift/audit/grid_rounding.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "unswift/audit/linear_algebra.h"
#include "unswift/audit/lowest_order.h"
#include "unswift/ops/convert.h"

namespace unswift {
namespace {

// Rows of a scan for the scale; more of them would not change its result.
constexpr int64_t kScanRows = 256;
// Steps of a scan in units of the grid's finest relative step: small enough not to miss the grid.
constexpr double kScanStep = 0.1;
// Numbers that know nothing of a grid score 1/12 +- 0.005 over 256 rows; the least of thousands of
// such scores stays above this.
constexpr double kOnGrid = 0.045;
// Right scales end below this, mostly far below; wrong ones do not.
constexpr double kResolved = 0.025;
// From here on all entries are right already, with nothing left to learn.
constexpr double kCertain = 1e-3;
// Standard deviation of the scale of a fit in units of the fit's residual, and how much a score
// must gain to go one such deviation away from it: noisy scores must not outvote a good fit.
constexpr double kDoubt = 0.6, kLeastDoubt = 5e-5;
constexpr double kTrust = 1e-3;
// With a fit this good the scale is known to within a fraction of a step.
constexpr double kGoodFit = 0.02;
// The farthest that exact numbers are scanned for a coefficient; beyond, counts of mantissas are
// cheaper.
constexpr double kWidestExact = 0.15;
// A grid looks the same an octave up or down: half of one each way is everything.
constexpr double kHalfOctave = 0.3466;
constexpr int kLearningRounds = 3;
// Steps of the grid that a weight may be moved by in the end.
constexpr int kMostSteps = 4;
// Coefficients that are compared, and that are tried one by one where the orders contradict these.
constexpr int kAlternatives = 4, kMostProbed = 96;
// Rows still agree on the right coefficient from so far.
constexpr double kProbesApart = 5e-4;
// Standard deviation of the coefficient that is allowed for then: the fit may be worse than it
// looks.
constexpr double kLeastProbed = 0.01;
// Share of contradicted rows above which other coefficients are tried, and up to which one that was
// tried is as good as any.
constexpr float kDoubtful = 0.1f, kGoodEnough = 0.02f;
// What a contradicted row speaks against a coefficient, in nats.
constexpr double kContradictedRow = 2.0;

double DoubtOf(const UnitModel& unit) {
  return kLeastDoubt + kDoubt * std::min(unit.fit.residual, 1.0);
}

/// Nats by which the orders speak against a coefficient: half the log variance of their own errors
/// (of all but the lowest, relative to its coefficient), summed over rows. A lowest order without
/// any error is the weights themselves, times a power of two; then coefficients nearby explain the
/// others as well, by sharing out errors that they invent: one number more for each order, which is
/// charged.
double Unexplained(const Eigen::VectorXd& c, const Eigen::MatrixXd& errors, int theta_bits,
                   int64_t rows) {
  constexpr double kExact = 1e-12;
  const OwnErrors own = TakeApart(c, errors, theta_bits);
  const double square = c[0] * c[0], count = static_cast<double>(rows);
  double sum = 0.0;
  for (Eigen::Index n = 1; n < c.size(); ++n) sum += std::log(own.variance[n] / square);
  const double charge = errors(0, 0) > kExact * square ? std::log(count) : 0.0;
  return 0.5 * (count * sum + charge * static_cast<double>(c.size() - 1));
}

}  // namespace

GridRounding::GridRounding(const LayerFacts& facts)
    : facts_(facts),
      mantissa_bits_(MantissaBits(facts.weight_dtype)),
      evidence_(MantissaEvidence::For(facts.series->theta.dtype, facts.weight_dtype)) {
  const int theta_bits = MantissaBits(facts.series->theta.dtype);
  if (evidence_ == nullptr || theta_bits == 0) return;
  bits_ = {theta_bits, mantissa_bits_};
  consistency_ = std::make_unique<OrderConsistency>(bits_);
  agreed_prediction_ = std::make_unique<OrderPrediction>();
}

void GridRounding::LowestCoefficients(std::span<const float> w, LaneDoubles& c) const {
  LaneFloats floor;
  SmallWeights(*block_, w.data(), floor);
  LaneDoubles rows;
  RelativeSlopes(*block_, 1, w.data(), floor, rows, &c);
  for (double& of_lane : c) of_lane = of_lane != 0.0 ? of_lane : 1.0;
}

GridScan GridRounding::MakeScan(const LaneFloats& width) const {
  const double step = kScanStep / static_cast<double>(2 << mantissa_bits_);
  const float widest = *std::max_element(width, width + kAuditLanes);
  GridScan scan;
  scan.mantissa_bits = mantissa_bits_;
  scan.row_stride = std::max<int64_t>(1, block_->rows / kScanRows);
  scan.rows = block_->rows / scan.row_stride;
  scan.steps = 2 * static_cast<int>(std::ceil(widest / step)) + 1;
  for (int lane = 0; lane < kAuditLanes; ++lane) {
    scan.from[lane] = std::exp(-width[lane]);
    const int intervals = std::max(scan.steps - 1, 1);
    scan.ratio[lane] = std::exp(2.0f * width[lane] / static_cast<float>(intervals));
    scan.penalty[lane] = 0.0f;
  }
  return scan;
}

void GridRounding::Scan(Search search, LaneFloats& scale, LaneFloats& score) const {
  alignas(64) LaneFloats width;
  for (int lane = 0; lane < kAuditLanes; ++lane) {
    const double residual = units_[lane].dead ? 0.0 : units_[lane].fit.residual;
    const bool wide = search == Search::kOctave;
    const double wanted = wide ? std::clamp(3.0 * residual, 2e-3, kHalfOctave)
                               : std::clamp(1.5 * residual, 2e-3, 0.1);
    width[lane] = search == Search::kHere   ? 0.0f
                  : search == Search::kUnit ? 2e-4f
                                            : static_cast<float>(wanted);
  }
  GridScan scan = MakeScan(width);
  for (int lane = 0; search == Search::kTrusting && lane < kAuditLanes; ++lane) {
    const double doubt = DoubtOf(units_[lane]);
    scan.penalty[lane] = static_cast<float>(kTrust / (doubt * doubt));
  }
  ScanForGrid(estimate_.data(), scan, scale, score);
  for (int lane = 0; search == Search::kOctave && lane < block_->num_units; ++lane) {
    if (units_[lane].fit.residual < kGoodFit) scale[lane] = 1.0f;
  }
}

void GridRounding::Rescale(LaneFloats& score) {
  alignas(64) LaneFloats scale, inverse;
  if (evidence_ != nullptr) {
    // The lowest order's coefficient is known better than any scan can tell the scale.
    LaneDoubles c;
    LowestCoefficients(estimate_, c);
    for (int lane = 0; lane < kAuditLanes; ++lane) {
      scale[lane] = static_cast<float>(lowest_[lane] / c[lane]);
    }
  } else {
    Scan(Search::kUnit, scale, score);
  }
  for (int lane = 0; lane < kAuditLanes; ++lane) {
    inverse[lane] = 1.0f / scale[lane];
    for (double& q : q_[lane]) q *= inverse[lane];
  }
  for (int64_t i = 0; i < block_->rows; ++i) {
    for (int lane = 0; lane < kAuditLanes; ++lane) {
      estimate_[i * kAuditLanes + lane] *= inverse[lane];
    }
  }
  if (evidence_ != nullptr) Scan(Search::kHere, scale, score);
}

void GridRounding::Snap(bool sharpen) {
  stored_.resize(estimate_.size() * BlockBytes(facts_.weight_dtype));
  FastRowFromF32(facts_.weight_dtype, estimate_, stored_.data());
  snapped_.resize(estimate_.size());
  FastRowToF32(facts_.weight_dtype, stored_.data(), snapped_);
  if (evidence_ == nullptr) return;
  const int theta_bits = evidence_->theta_bits();
  if (sharpen) SharpenLowestOrder(*block_, theta_bits, snapped_.data(), lowest_);
  KeepLowestOrder(*block_, theta_bits, mantissa_bits_, lowest_, estimate_.data(), snapped_.data());
}

void GridRounding::LearnErrors() {
  errors_.Learn(*block_, snapped_.data());
  for (int lane = 0; lane < block_->num_units; ++lane) {
    if (units_[lane].dead) continue;
    const int orders = units_[lane].num_orders;
    const Eigen::VectorXd c = errors_.Coefficients(lane, orders);
    const Eigen::MatrixXd errors = errors_.Covariance(lane, orders);
    if (evidence_ != nullptr) {
      unexplained_[lane] = Unexplained(c, errors, evidence_->theta_bits(), block_->rows);
    }
    const Eigen::VectorXd q = LeastVariance(c, errors);
    if (q.allFinite()) CopyOrders(q, 1.0, q_[lane]);
  }
}

void GridRounding::Project(const ThetaBlock& block, const BlockVectors& q) {
  const std::span<const float> w = projection_.Project(block, q);
  estimate_.assign(w.begin(), w.end());
}

void GridRounding::Begin(const BlockVectors& start, const LaneFloats& scale, LaneFloats& score) {
  q_ = start;
  for (int lane = 0; lane < kAuditLanes; ++lane) {
    for (double& q : q_[lane]) q /= scale[lane];
  }
  Project(*block_, q_);
  Rescale(score);
  Snap(true);
}

void GridRounding::Try(const LaneFloats& scale, bool must_learn, LaneFloats& score) {
  Begin(LeastSquares(), scale, score);
  if (!must_learn && AllBelow(score, kCertain)) return;
  for (int round = 0; round < kLearningRounds; ++round) {
    LearnErrors();
    Project(*block_, q_);
    Rescale(score);
    Snap(false);
    if (AllBelow(score, kCertain)) break;
  }
}

bool GridRounding::AllBelow(const LaneFloats& score, double limit) const {
  for (int lane = 0; lane < block_->num_units; ++lane) {
    if (!units_[lane].dead && score[lane] >= limit) return false;
  }
  return true;
}

UnitOutcome GridRounding::OutcomeOf(int lane) const {
  if (units_[lane].dead) return {true, 0.0, 0.0};
  // Without a grid the scale is known as well as the fit.
  const double score = kept_score_[lane];
  if (!on_grid_[lane]) return {false, score, units_[lane].fit.residual};
  // Steps of the grid are 1/2^bits .. 2/2^bits of a value, 0.72 of the larger on average.
  const double step = 1.0 / (0.72 * 2.0 * static_cast<double>(1 << mantissa_bits_));
  return {true, score, std::sqrt(score) * step};
}

std::span<const float> GridRounding::Round(const ThetaBlock& block, const ThetaBlock& sample,
                                           std::span<const UnitModel> units,
                                           std::span<UnitOutcome> outcome) {
  block_ = &sample;
  units_ = units;
  // What no grid is found for stays as the solution has it.
  kept_ = LeastSquares();
  std::fill_n(kept_lowest_, kAuditLanes, 0.0);
  kept_score_.fill(kOnGrid);
  on_grid_.fill(false);
  agreed_.fill(false);
  if (evidence_ != nullptr) {
    RoundByEvidence();
    if (consistency_ != nullptr) SettleKept();
  } else if (mantissa_bits_ != 0) {
    RoundByScans();
  }
  for (int lane = 0; lane < kAuditLanes; ++lane) outcome[lane] = OutcomeOf(lane);
  block_ = &block;
  return Finish();
}

void GridRounding::Keep(int lane, double score) {
  on_grid_[lane] = true;
  kept_score_[lane] = score;
  kept_[lane] = q_[lane];
  kept_lowest_[lane] = lowest_[lane];
}

std::span<const float> GridRounding::Finish() {
  Project(*block_, kept_);
  std::copy(kept_lowest_, kept_lowest_ + kAuditLanes, lowest_);
  Snap(false);
  if (consistency_ != nullptr) KeepAgreement();
  for (int lane = 0; lane < kAuditLanes; ++lane) {
    for (int64_t i = lane; !on_grid_[lane] && i < std::ssize(estimate_); i += kAuditLanes) {
      snapped_[i] = estimate_[i];
    }
  }
  return snapped_;
}

BlockVectors GridRounding::LeastSquares() const {
  BlockVectors q;
  for (int lane = 0; lane < kAuditLanes; ++lane) {
    q[lane] = units_[lane].dead ? OrderValues{} : units_[lane].least_squares();
  }
  return q;
}

std::vector<CoefficientEstimate> GridRounding::CoefficientsOf(
    int lane, const CoefficientSearch& search) const {
  const int64_t stride = static_cast<int64_t>(block_->num_orders) * kAuditLanes;
  const std::span<const float> theta(block_->values + lane, block_->rows * stride - lane);
  return evidence_->Estimate(theta, stride, search);
}

void GridRounding::ExactCoefficients(LaneDoubles& c, LaneFloats& score) {
  alignas(64) LaneFloats width, scale;
  for (int lane = 0; lane < kAuditLanes; ++lane) {
    const double doubt = units_[lane].dead ? 0.0 : DoubtOf(units_[lane]);
    width[lane] = static_cast<float>(std::clamp(kDoubtsSearched * doubt, 2e-3, kWidestExact));
  }
  for (int64_t i = 0; i < block_->rows; ++i) {
    for (int lane = 0; lane < kAuditLanes; ++lane) {
      estimate_[i * kAuditLanes + lane] = static_cast<float>(block_->at(i)[lane] / guess_[lane]);
    }
  }
  ScanForGrid(estimate_.data(), MakeScan(width), scale, score);
  for (int lane = 0; lane < kAuditLanes; ++lane) c[lane] = guess_[lane] * scale[lane];
}

void GridRounding::RoundByEvidence() {
  Project(*block_, kept_);
  LowestCoefficients(estimate_, guess_);
  std::array<std::vector<CoefficientEstimate>, kAuditLanes> found;
  LaneDoubles exact;
  alignas(64) LaneFloats scale, score;
  std::fill_n(score, kAuditLanes, kOnGrid);
  if (facts_.series->theta.dtype == DType::kF32) ExactCoefficients(exact, score);
  size_t tries = 1;
  for (int lane = 0; lane < block_->num_units; ++lane) {
    if (units_[lane].dead) continue;
    if (score[lane] < kResolved) {
      found[lane] = {{.coefficient = exact[lane], .plausible = true}};
    } else {
      found[lane] = CoefficientsOf(lane, {guess_[lane], DoubtOf(units_[lane]), kAlternatives});
    }
    tries = std::max(tries, found[lane].size());
  }
  std::array<double, kAuditLanes> least_cost;
  least_cost.fill(std::numeric_limits<double>::infinity());
  for (size_t t = 0; t < tries; ++t) {
    for (int lane = 0; lane < kAuditLanes; ++lane) {
      const auto& all = found[lane];
      lowest_[lane] = all.empty() ? guess_[lane] : all[t < all.size() ? t : 0].coefficient;
      scale[lane] = static_cast<float>(lowest_[lane] / guess_[lane]);
    }
    Try(scale, tries > 1, score);
    for (int lane = 0; lane < block_->num_units; ++lane) {
      if (t >= found[lane].size()) continue;
      const CoefficientEstimate& estimate = found[lane][t];
      if (!estimate.plausible && score[lane] >= kResolved) continue;
      const double cost =
          found[lane].size() == 1 ? 0.0 : unexplained_[lane] - estimate.log_likelihood;
      if (cost < least_cost[lane]) least_cost[lane] = cost, Keep(lane, score[lane]);
    }
  }
}

void GridRounding::SettleKept() {
  q_ = kept_;
  std::copy(kept_lowest_, kept_lowest_ + kAuditLanes, lowest_);
  Project(*block_, q_);
  Snap(false);
  chosen_ = snapped_;
  alignas(64) LaneFloats contradicted;
  consistency_->Settle(*block_, units_, estimate_.data(), snapped_.data(), contradicted);
  moved_.fill(false);
  for (size_t i = 0; i < chosen_.size(); ++i) {
    moved_[i % kAuditLanes] |= chosen_[i] != snapped_[i];
  }
  for (int lane = 0; lane < block_->num_units; ++lane) {
    if (units_[lane].dead) continue;
    if (contradicted[lane] <= OrderConsistency::kConsistent) {
      Agree(lane, consistency_->prediction(), lane);
    }
    if (contradicted[lane] > kDoubtful) Probe(lane, contradicted[lane]);
  }
}

void GridRounding::Agree(int lane, const OrderPrediction& prediction, int from) {
  agreed_[lane] = on_grid_[lane] = true;
  for (int n = 0; n < kAuditOrders; ++n) {
    agreed_prediction_->slope[n][lane] = prediction.slope[n][from];
    agreed_prediction_->response[n][lane] = prediction.response[n][from];
    agreed_prediction_->inverse_noise[n][lane] = prediction.inverse_noise[n][from];
    for (int k = 0; k < n; ++k) {
      agreed_prediction_->weight[n][k][lane] = prediction.weight[n][k][from];
    }
  }
}

void GridRounding::Probe(int lane, float contradicted) {
  const double guess = guess_[lane], doubt = std::max(DoubtOf(units_[lane]), kLeastProbed);
  const auto candidates = CoefficientsOf(lane, {guess, doubt, kMostProbed, kProbesApart});
  if (probe_ == nullptr) probe_ = std::make_unique<GridRounding>(facts_);
  probe_->Repeat(*block_, lane, units_[lane]);
  const float acceptable = std::min(contradicted, OrderConsistency::kConsistent);
  Trial best;
  for (size_t first = 0; first < candidates.size(); first += kAuditLanes) {
    const size_t count = std::min<size_t>(kAuditLanes, candidates.size() - first);
    const auto some = std::span(candidates).subspan(first, count);
    for (const bool lowest_alone : {false, true}) {
      const Trial trial = probe_->TryAll(guess, some, acceptable, lowest_alone);
      if (trial.cost >= best.cost) continue;
      best = trial;
      // Where the orders cancel, the lowest is a better estimate than all of them together.
      kept_lowest_[lane] = probe_->lowest_[trial.lane];
      kept_[lane] = OrderValues{1.0 / kept_lowest_[lane]};
      moved_[lane] = true;
      Agree(lane, probe_->consistency_->prediction(), trial.lane);
    }
    if (best.contradicted <= kGoodEnough) break;
  }
}

void GridRounding::Repeat(const ThetaBlock& block, int lane, const UnitModel& unit) {
  const int64_t row = static_cast<int64_t>(unit.num_orders) * kAuditLanes;
  repeated_values_.resize(block.rows * row);
  for (int64_t i = 0; i < block.rows; ++i) {
    for (int n = 0; n < unit.num_orders; ++n) {
      std::fill_n(&repeated_values_[i * row + n * kAuditLanes], kAuditLanes,
                  block.at(i)[n * kAuditLanes + lane]);
    }
  }
  repeated_ = block;
  repeated_.num_units = kAuditLanes;
  repeated_.num_orders = unit.num_orders;
  repeated_.values = repeated_values_.data();
  repeated_units_.fill(unit);
  block_ = &repeated_;
  units_ = repeated_units_;
}

GridRounding::Trial GridRounding::TryAll(double guess,
                                         std::span<const CoefficientEstimate> candidates,
                                         float acceptable, bool lowest_alone) {
  alignas(64) LaneFloats scale, score, contradicted;
  for (size_t lane = 0; lane < kAuditLanes; ++lane) {
    lowest_[lane] = candidates[lane < candidates.size() ? lane : 0].coefficient;
    scale[lane] = static_cast<float>(lowest_[lane] / guess);
  }
  if (lowest_alone) {
    BlockVectors lowest{};
    for (OrderValues& q : lowest) q[0] = 1.0 / guess;
    Begin(lowest, scale, score);
  } else {
    Try(scale, true, score);
  }
  consistency_->Settle(*block_, units_, estimate_.data(), snapped_.data(), contradicted);
  LearnErrors();
  Trial best;
  for (size_t lane = 0; lane < candidates.size(); ++lane) {
    const double rows = contradicted[lane] * static_cast<double>(block_->rows);
    const double cost =
        unexplained_[lane] - candidates[lane].log_likelihood + kContradictedRow * rows;
    if (contradicted[lane] >= acceptable || cost >= best.cost) continue;
    best = {static_cast<int>(lane), contradicted[lane], cost};
  }
  return best;
}

void GridRounding::KeepAgreement() {
  // What no row of the sample needed, hardly any other does.
  bool any = false, coarse = false;
  for (int lane = 0; lane < block_->num_units; ++lane) {
    any |= agreed_[lane] && moved_[lane];
    coarse |= agreed_[lane] && kept_score_[lane] >= kOnGrid;
  }
  if (!any) return;
  chosen_ = snapped_;
  excess_.resize(snapped_.size());
  // Where orders cancel, the estimate may be several steps off; and one move is one step.
  for (int step = 0; step < (coarse ? kMostSteps : 1); ++step) {
    ChooseConsistent(*block_, *agreed_prediction_, bits_, estimate_.data(), chosen_.data(),
                     excess_.data());
  }
  for (size_t i = 0; i < chosen_.size(); ++i) {
    snapped_[i] = agreed_[i % kAuditLanes] ? chosen_[i] : snapped_[i];
  }
}

void GridRounding::RoundByScans() {
  const BlockVectors solution = kept_;
  alignas(64) LaneFloats scale, score;
  for (Search search : {Search::kTrusting, Search::kNarrow, Search::kUnit, Search::kOctave}) {
    Project(*block_, solution);
    Scan(search, scale, score);
    // A scale is judged by what its weights teach: before, noise hides the grid.
    Try(scale, false, score);
    bool resolved = true;
    for (int lane = 0; lane < block_->num_units; ++lane) {
      if (units_[lane].dead) continue;
      // What an earlier, more trusting search has settled stays.
      const bool settled = kept_score_[lane] < kResolved;
      if (!settled && score[lane] < kept_score_[lane]) Keep(lane, score[lane]);
      resolved &= kept_score_[lane] < kResolved;
    }
    if (resolved) break;
  }
}

}  // namespace unswift
