#include "unswift/audit/grid_rounding.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "unswift/audit/linear_algebra.h"
#include "unswift/audit/lowest_order.h"
#include "unswift/ops/convert.h"

namespace unswift {
namespace {

using SmallMatrix = Eigen::MatrixXd;
using SmallVector = Eigen::VectorXd;

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
// A grid looks the same an octave up or down: half of one each way is everything.
constexpr double kHalfOctave = 0.3466;
constexpr int kLearningRounds = 3;
// Least relative error of an order that was rounded, in units of its type's rounding error: an
// order that is predicted better was taken for the weights themselves.
constexpr double kLeastRounding = 0.3;

double DoubtOf(const UnitModel& unit) {
  return kLeastDoubt + kDoubt * std::min(unit.fit.residual, 1.0);
}

/// Sum over all orders but the lowest of the log variance that is left of an order's relative error
/// when the errors of the orders below it are known; relative to the lowest coefficient. Rounded
/// orders have no less than `least` times their own size. errors: their covariance.
double LogInnovations(const SmallMatrix& errors, const SmallVector& c, double least) {
  const Eigen::Index orders = c.size();
  SmallMatrix lower = SmallMatrix::Zero(orders, orders);
  SmallVector variance(orders);
  double sum = 0.0;
  for (Eigen::Index n = 0; n < orders; ++n) {
    double left = errors(n, n);
    for (Eigen::Index k = 0; k < n; ++k) {
      double cross = errors(n, k);
      for (Eigen::Index l = 0; l < k; ++l) cross -= lower(n, l) * lower(k, l) * variance[l];
      lower(n, k) = cross / variance[k];
      left -= lower(n, k) * cross;
    }
    const double size = std::sqrt(c[n] * c[n] + errors(n, n));
    variance[n] = std::max(left, least * least * size * size + 1e-300);
    if (n > 0) sum += std::log(variance[n] / (c[0] * c[0]));
  }
  return sum;
}

}  // namespace

GridRounding::GridRounding(const LayerFacts& facts)
    : facts_(facts),
      mantissa_bits_(MantissaBits(facts.weight_dtype)),
      evidence_(MantissaEvidence::For(facts.series->theta.dtype, facts.weight_dtype)),
      gram_(std::make_unique<LaneDoubles[][kAuditOrders]>(kAuditOrders)) {}

void GridRounding::FloorOf(std::span<const float> w, LaneFloats& floor) const {
  LaneDoubles square = {};
  for (int64_t i = 0; i < block_->rows; ++i) {
    for (int lane = 0; lane < kAuditLanes; ++lane) {
      const double value = w[i * kAuditLanes + lane];
      square[lane] += value * value;
    }
  }
  for (int lane = 0; lane < kAuditLanes; ++lane) {
    const double mean = square[lane] / static_cast<double>(block_->rows);
    floor[lane] = static_cast<float>(0.05 * std::sqrt(mean));
  }
}

void GridRounding::LowestCoefficients(std::span<const float> w, LaneDoubles& c) const {
  LaneFloats floor;
  FloorOf(w, floor);
  LaneDoubles sum = {}, rows = {};
  for (int64_t i = 0; i < block_->rows; ++i) {
    const float* theta = block_->at(i);
    for (int lane = 0; lane < kAuditLanes; ++lane) {
      const float value = w[i * kAuditLanes + lane];
      const bool used = std::abs(value) > floor[lane];
      sum[lane] += used ? theta[lane] / value : 0.0f;
      rows[lane] += used ? 1.0 : 0.0;
    }
  }
  for (int lane = 0; lane < kAuditLanes; ++lane) {
    c[lane] = sum[lane] != 0.0 ? sum[lane] / rows[lane] : 1.0;
  }
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
  std::vector<std::byte> stored(estimate_.size() * BlockBytes(facts_.weight_dtype));
  FastRowFromF32(facts_.weight_dtype, estimate_, stored.data());
  snapped_.resize(estimate_.size());
  FastRowToF32(facts_.weight_dtype, stored.data(), snapped_);
  if (evidence_ == nullptr) return;
  const int theta_bits = evidence_->theta_bits();
  if (sharpen) SharpenLowestOrder(*block_, theta_bits, snapped_.data(), lowest_);
  KeepLowestOrder(*block_, theta_bits, mantissa_bits_, lowest_, estimate_.data(), snapped_.data());
}

void GridRounding::LearnErrors() {
  alignas(64) LaneFloats floor;
  FloorOf(snapped_, floor);
  const int theta_bits = evidence_ != nullptr ? evidence_->theta_bits() : 0;
  const double least = kLeastRounding * std::ldexp(1.0 / std::sqrt(3.0), -theta_bits - 2);
  LaneDoubles slope[kAuditOrders];
  RelativeResiduals(*block_, snapped_.data(), floor, slope, gram_.get());
  for (int lane = 0; lane < block_->num_units; ++lane) {
    if (units_[lane].dead) continue;
    const int orders = facts_.order(block_->first_unit + lane) - block_->first_order + 1;
    const SmallMatrix errors = LaneGram(gram_.get(), orders, lane);
    SmallVector c(orders), size(orders);
    for (int n = 0; n < orders; ++n) c[n] = slope[n][lane];
    const double smallest = 1e-9 * c.cwiseAbs().maxCoeff();
    for (int n = 0; n < orders; ++n) size[n] = std::max(std::sqrt(errors(n, n)), smallest);
    const SmallVector inverse = size.cwiseInverse();
    SmallMatrix scaled = inverse.asDiagonal() * errors * inverse.asDiagonal();
    scaled.diagonal().array() += 1e-6;
    SmallVector q = inverse.cwiseProduct(SolveSymmetric(scaled, inverse.cwiseProduct(c)));
    const double product = q.dot(c);
    if (evidence_ != nullptr) log_innovations_[lane] = LogInnovations(errors, c, least);
    if (!(std::abs(product) > 0.0) || !q.allFinite()) continue;
    CopyOrders(q, 1.0 / product, q_[lane]);
  }
}

void GridRounding::Project(const ThetaBlock& block, const BlockVectors& q) {
  const std::span<const float> w = projection_.Project(block, q);
  estimate_.assign(w.begin(), w.end());
}

void GridRounding::Try(const LaneFloats& scale, bool must_learn, LaneFloats& score) {
  for (int lane = 0; lane < kAuditLanes; ++lane) {
    q_[lane] = units_[lane].dead ? OrderValues{} : units_[lane].least_squares();
    for (double& q : q_[lane]) q /= scale[lane];
  }
  Project(*block_, q_);
  Rescale(score);
  Snap(true);
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
  for (int lane = 0; lane < kAuditLanes; ++lane) {
    // What no grid is found for stays as the solution has it.
    kept_[lane] = units_[lane].dead ? OrderValues{} : units_[lane].least_squares();
    kept_lowest_[lane] = 0.0;
  }
  kept_score_.fill(kOnGrid);
  on_grid_.fill(false);
  if (evidence_ != nullptr) {
    RoundByEvidence();
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
  for (int lane = 0; lane < kAuditLanes; ++lane) {
    for (int64_t i = lane; !on_grid_[lane] && i < std::ssize(estimate_); i += kAuditLanes) {
      snapped_[i] = estimate_[i];
    }
  }
  return snapped_;
}

void GridRounding::RoundByEvidence() {
  LaneDoubles guess;
  Project(*block_, kept_);
  LowestCoefficients(estimate_, guess);
  std::array<std::vector<CoefficientEstimate>, kAuditLanes> found;
  const int64_t stride = static_cast<int64_t>(block_->num_orders) * kAuditLanes;
  size_t tries = 1;
  for (int lane = 0; lane < block_->num_units; ++lane) {
    if (units_[lane].dead) continue;
    const std::span<const float> theta(block_->values + lane, block_->rows * stride - lane);
    found[lane] = evidence_->Estimate(theta, stride, guess[lane], DoubtOf(units_[lane]));
    tries = std::max(tries, found[lane].size());
  }
  std::array<double, kAuditLanes> least_cost;
  least_cost.fill(std::numeric_limits<double>::infinity());
  alignas(64) LaneFloats scale, score;
  for (size_t t = 0; t < tries; ++t) {
    for (int lane = 0; lane < kAuditLanes; ++lane) {
      const auto& all = found[lane];
      lowest_[lane] = all.empty() ? guess[lane] : all[t < all.size() ? t : 0].coefficient;
      scale[lane] = static_cast<float>(lowest_[lane] / guess[lane]);
    }
    Try(scale, tries > 1, score);
    for (int lane = 0; lane < block_->num_units; ++lane) {
      if (t >= found[lane].size()) continue;
      const CoefficientEstimate& estimate = found[lane][t];
      if (!estimate.plausible && score[lane] >= kResolved) continue;
      const double cost = found[lane].size() == 1
                              ? 0.0
                              : 0.5 * static_cast<double>(block_->rows) * log_innovations_[lane] -
                                    estimate.log_likelihood;
      if (cost < least_cost[lane]) least_cost[lane] = cost, Keep(lane, score[lane]);
    }
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
