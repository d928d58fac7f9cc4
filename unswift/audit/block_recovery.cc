#include "unswift/audit/block_recovery.h"

#include <algorithm>
#include <cmath>

#include "unswift/audit/linear_algebra.h"
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
constexpr double kDoubt = 0.25;
constexpr double kTrust = 1e-3;
// With a fit this good the scale is known to within a fraction of a step.
constexpr double kGoodFit = 0.02;
// A grid looks the same an octave up or down: half of one each way is everything.
constexpr double kHalfOctave = 0.3466;
// Least relative error of an order that was rounded, in units of its type's rounding error.
constexpr double kLeastRounding = 0.15;
// Octaves within which two scales are the same.
constexpr double kSameScale = 3e-3;
constexpr int kLearningRounds = 3;

int MantissaBits(DType dtype) { return dtype == DType::kBF16 ? 7 : dtype == DType::kF16 ? 10 : 0; }

SmallMatrix LaneGram(const LaneDoubles (*gram)[kAuditOrders], int orders, int lane) {
  SmallMatrix matrix(orders, orders);
  for (int n = 0; n < orders; ++n) {
    for (int m = 0; m <= n; ++m) matrix(n, m) = matrix(m, n) = gram[n][m][lane];
  }
  return matrix;
}

/// Top eigenvector of the Gram matrix with every order scaled to the same size; returns the share
/// of the rest. Orders without any entry get 0.
double RelativeRank1(const SmallMatrix& gram, SmallVector& top) {
  const int orders = static_cast<int>(gram.rows());
  SmallVector inverse(orders);
  double used = 0.0;
  for (int n = 0; n < orders; ++n) {
    inverse[n] = gram(n, n) > 0.0 ? 1.0 / std::sqrt(gram(n, n)) : 0.0;
    used += gram(n, n) > 0.0 ? 1.0 : 0.0;
  }
  const SmallMatrix scaled = inverse.asDiagonal() * gram * inverse.asDiagonal();
  // Started from the column that agrees best with all others.
  int start = 0;
  for (int n = 1; n < orders; ++n) {
    if (scaled.col(n).lpNorm<1>() > scaled.col(start).lpNorm<1>()) start = n;
  }
  top = scaled.col(start).normalized();
  double value = 0.0;
  for (int i = 0; i < 60; ++i) {
    SmallVector next = scaled * top;
    value = next.norm();
    next /= value;
    const double change = (next - top).squaredNorm();
    top = next;
    if (change < 1e-28) break;
  }
  return std::sqrt(std::max(0.0, 1.0 - value / used));
}

/// Least squares with every order weighted by its mean squared residual. gram: of the orders;
/// c, q: a first solution, Theta ~ w c^T with w = Theta q.
SmallVector ReweightedByError(const SmallMatrix& gram, SmallVector c, SmallVector q) {
  for (int round = 0; round < 4; ++round) {
    const SmallVector cross = gram * q;
    const double square = q.dot(cross);
    c = cross / square;
    for (Eigen::Index n = 0; n < c.size(); ++n) {
      const double residual = gram(n, n) - 2.0 * c[n] * cross[n] + c[n] * c[n] * square;
      q[n] = c[n] / std::max(residual, 1e-6 * gram(n, n) + 1e-300);
    }
    q /= q.dot(c);
  }
  return q;
}

/// Whether a unit's weights are one order's stored numbers: residuals[n][n] of an order that is
/// predicted without the error that its rounding must have left.
bool RepeatsAnOrder(const UnitModel& unit, const LaneDoubles (*residuals)[kAuditOrders], int orders,
                    int lane, double rounding) {
  for (int n = 0; n < orders; ++n) {
    const double c = std::abs(unit.c[n]);
    if (c > 0.0 && std::sqrt(residuals[n][n][lane]) < kLeastRounding * rounding * c) return true;
  }
  return false;
}

void CopyTo(const SmallVector& from, double factor, std::array<double, kAuditOrders>& to) {
  to.fill(0.0);
  for (Eigen::Index n = 0; n < from.size(); ++n) to[n] = factor * from[n];
}

}  // namespace

UnitModel ModelOfUnit(const LayerFacts& facts, int64_t unit,
                      const LaneDoubles (*gram)[kAuditOrders], int lane) {
  UnitModel model;
  const FunctionSamples samples = SampleUnit(facts, unit);
  const int orders = samples.num_orders;
  const SmallMatrix moments = LaneGram(gram, orders, lane);
  if (!(moments.trace() > 0.0)) return model;
  model.dead = false;
  SmallVector top(orders);
  model.rank1_residual = RelativeRank1(moments, top);
  const SmallVector size = moments.diagonal().cwiseSqrt();
  SmallVector c = top.cwiseProduct(size);

  // Power iteration in the metric of the function, where a carried error is small again.
  const std::vector<double> basis_gram = BasisGram(samples);
  const Eigen::Map<const Eigen::MatrixXd> metric(basis_gram.data(), orders, orders);
  SmallVector q(orders);
  for (int i = 0; i < 20; ++i) {
    q = metric * c;
    q /= c.dot(q);
    c = moments * q;
    c /= q.dot(c);
  }
  q = metric * c;
  q /= c.dot(q);
  model.fit = FitActivation(facts, unit, samples, c.data());
  CopyTo(c, model.fit.factor, model.c);
  CopyTo(q, 1.0 / model.fit.factor, model.functional);
  CopyTo(ReweightedByError(moments, c, q), 1.0 / model.fit.factor, model.by_error);
  // Errors relative to each order's own size: every order tells w equally well.
  SmallVector relative(orders);
  for (int n = 0; n < orders; ++n) relative[n] = size[n] > 0.0 ? top[n] / size[n] : 0.0;
  CopyTo(relative, 1.0 / (model.fit.factor * relative.dot(c)), model.relative);
  return model;
}

BlockRecovery::BlockRecovery(const LayerFacts& facts)
    : facts_(facts),
      mantissa_bits_(MantissaBits(facts.weight_dtype)),
      gram_(std::make_unique<LaneDoubles[][kAuditOrders]>(kAuditOrders)),
      weights_{} {}

void BlockRecovery::Start(const ThetaBlock& block) {
  block_ = &block;
  w_.resize(block.rows * kAuditLanes);
  GramOfOrders(block, gram_.get());
  for (int lane = 0; lane < kAuditLanes; ++lane) {
    units_[lane] = lane < block.num_units
                       ? ModelOfUnit(facts_, block.first_unit + lane, gram_.get(), lane)
                       : UnitModel();
  }
}

bool BlockRecovery::IsNearest(const UnitModel& unit) const {
  switch (facts_.series->theta.dtype) {
    case DType::kF32:
      return true;
    case DType::kF16:
      return unit.rank1_residual < 5e-4;
    case DType::kBF16:
      return unit.rank1_residual < 3e-3;
    default:
      return false;
  }
}

std::span<const float> BlockRecovery::LeastSquares() {
  return Project([&](const UnitModel& unit) -> const std::array<double, kAuditOrders>& {
    return IsNearest(unit) ? unit.relative : unit.functional;
  });
}

GridScan BlockRecovery::MakeScan(const LaneFloats& width) const {
  const double step = kScanStep / static_cast<double>(2 << mantissa_bits_);
  const float widest = *std::max_element(width, width + kAuditLanes);
  GridScan scan;
  scan.mantissa_bits = mantissa_bits_;
  scan.row_stride = std::max<int64_t>(1, block_->rows / kScanRows);
  scan.rows = block_->rows / scan.row_stride;
  scan.steps = 2 * static_cast<int>(std::ceil(widest / step)) + 1;
  for (int lane = 0; lane < kAuditLanes; ++lane) {
    scan.from[lane] = std::exp(-width[lane]);
    scan.ratio[lane] = std::exp(2.0f * width[lane] / static_cast<float>(scan.steps - 1));
    scan.penalty[lane] = 0.0f;
  }
  return scan;
}

bool BlockRecovery::IsThetaGrid(int lane, double scale) const {
  // Theta's own type is a grid, too: w / scale is one of its orders when scale * c_n = 2^k.
  if (MantissaBits(facts_.series->theta.dtype) != mantissa_bits_) return false;
  for (int n = 0; n < block_->num_orders; ++n) {
    const double c = std::abs(units_[lane].c[n]);
    if (!(c > 0.0)) continue;
    const double octaves = std::log2(c * scale);
    if (std::abs(octaves - std::round(octaves)) < kSameScale) return true;
  }
  return false;
}

void BlockRecovery::FindScale(Search search, LaneFloats& scale, LaneFloats& score) const {
  alignas(64) LaneFloats width;
  for (int lane = 0; lane < kAuditLanes; ++lane) {
    const double residual = units_[lane].dead ? 0.0 : units_[lane].fit.residual;
    const bool wide = search == Search::kOctave;
    const double wanted = wide ? std::clamp(3.0 * residual, 2e-3, kHalfOctave)
                               : std::clamp(1.5 * residual, 2e-3, 0.1);
    width[lane] = search == Search::kUnit ? 2e-4f : static_cast<float>(wanted);
  }
  GridScan scan = MakeScan(width);
  for (int lane = 0; search == Search::kTrusting && lane < kAuditLanes; ++lane) {
    const double doubt = 5e-5 + kDoubt * std::min(units_[lane].fit.residual, 1.0);
    scan.penalty[lane] = static_cast<float>(kTrust / (doubt * doubt));
  }
  ScanForGrid(w_.data(), scan, scale, score);
  for (int lane = 0; search != Search::kUnit && lane < block_->num_units; ++lane) {
    const bool no_reason = search == Search::kOctave && units_[lane].fit.residual < kGoodFit;
    if (no_reason || IsThetaGrid(lane, scale[lane])) scale[lane] = 1.0f;
  }
}

void BlockRecovery::Snap(const LaneFloats& scale) {
  alignas(64) LaneFloats inverse;
  for (int lane = 0; lane < kAuditLanes; ++lane) inverse[lane] = 1.0f / scale[lane];
  for (int64_t i = 0; i < block_->rows; ++i) {
    for (int lane = 0; lane < kAuditLanes; ++lane) {
      snapped_[i * kAuditLanes + lane] = w_[i * kAuditLanes + lane] * inverse[lane];
    }
  }
  std::vector<std::byte> stored(snapped_.size() * BlockBytes(facts_.weight_dtype));
  FastRowFromF32(facts_.weight_dtype, snapped_, stored.data());
  FastRowToF32(facts_.weight_dtype, stored.data(), snapped_);
}

void BlockRecovery::LearnErrors() {
  // Entries near zero have no relative error to speak of.
  alignas(64) LaneFloats floor;
  for (int lane = 0; lane < kAuditLanes; ++lane) {
    double square = 0.0;
    for (int64_t i = 0; i < block_->rows; ++i) {
      const double w = snapped_[i * kAuditLanes + lane];
      square += w * w;
    }
    floor[lane] = static_cast<float>(0.05 * std::sqrt(square / static_cast<double>(block_->rows)));
  }
  LaneDoubles slope[kAuditOrders];
  RelativeResiduals(*block_, snapped_.data(), floor, slope, gram_.get());
  for (int lane = 0; lane < block_->num_units; ++lane) {
    UnitModel& unit = units_[lane];
    if (unit.dead) continue;
    const int orders = facts_.order(block_->first_unit + lane) - block_->first_order + 1;
    const SmallMatrix errors = LaneGram(gram_.get(), orders, lane);
    SmallVector c(orders), size(orders);
    for (int n = 0; n < orders; ++n) c[n] = slope[n][lane];
    const double least = 1e-9 * c.cwiseAbs().maxCoeff();
    for (int n = 0; n < orders; ++n) size[n] = std::max(std::sqrt(errors(n, n)), least);
    const SmallVector inverse = size.cwiseInverse();
    SmallMatrix scaled = inverse.asDiagonal() * errors * inverse.asDiagonal();
    scaled.diagonal().array() += 1e-6;
    SmallVector q = inverse.cwiseProduct(SolveSymmetric(scaled, inverse.cwiseProduct(c)));
    const double product = q.dot(c);
    if (!(std::abs(product) > 0.0) || !q.allFinite()) continue;
    CopyTo(q, 1.0 / product, unit.functional);
    CopyTo(c, 1.0, unit.c);
  }
}

void BlockRecovery::LearnFrom(int rounds, LaneFloats& score) {
  alignas(64) LaneFloats scale;
  for (int round = 0; round < rounds; ++round) {
    LearnErrors();
    Project([](const UnitModel& unit) -> const std::array<double, kAuditOrders>& {
      return unit.functional;
    });
    FindScale(Search::kUnit, scale, score);
    Snap(scale);
  }
}

void BlockRecovery::KeepBetter(const LaneFloats& score, LaneFloats& best_score) {
  for (int lane = 0; lane < kAuditLanes; ++lane) {
    // What an earlier, more trusting search has settled stays: theta's own grid scores well, too.
    if (score[lane] >= best_score[lane] || best_score[lane] < kResolved) continue;
    best_score[lane] = score[lane];
    for (int64_t i = 0; i < block_->rows; ++i) {
      best_[i * kAuditLanes + lane] = snapped_[i * kAuditLanes + lane];
    }
  }
}

std::span<const float> BlockRecovery::Direct() {
  std::array<double, kAuditOrders> q;
  return Project([&](const UnitModel& unit) -> const std::array<double, kAuditOrders>& {
    q.fill(0.0);
    q[0] = unit.c[0] != 0.0 ? 1.0 / unit.c[0] : 0.0;
    return q;
  });
}

bool BlockRecovery::AllBelow(const LaneFloats& score, double limit) const {
  for (int lane = 0; lane < block_->num_units; ++lane) {
    if (!units_[lane].dead && score[lane] >= limit) return false;
  }
  return true;
}

UnitOutcome BlockRecovery::OutcomeOf(int lane, double score) const {
  if (units_[lane].dead) return {true, 0.0, 0.0};
  // Without a grid the scale is known as well as the fit.
  if (!(score < kOnGrid)) return {false, score, units_[lane].fit.residual};
  // Steps of the grid are 1/2^bits .. 2/2^bits of a value, 0.72 of the larger on average.
  const double step = 1.0 / (0.72 * 2.0 * static_cast<double>(1 << mantissa_bits_));
  return {true, score, std::sqrt(score) * step};
}

std::span<const float> BlockRecovery::ConsistentRounding(std::span<UnitOutcome> outcome) {
  LeastSquares();
  alignas(64) LaneFloats scale, score, best_score;
  // What no grid is found for stays as least squares have it.
  std::fill(best_score, best_score + kAuditLanes, static_cast<float>(kOnGrid));
  best_ = squares_ = w_;
  if (mantissa_bits_ != 0) {
    snapped_.resize(w_.size());
    const auto models = units_;
    const bool same_grid = MantissaBits(facts_.series->theta.dtype) == mantissa_bits_;
    const double rounding = std::ldexp(1.0 / std::sqrt(3.0), -mantissa_bits_ - 2);
    for (Search search : {Search::kTrusting, Search::kNarrow, Search::kUnit, Search::kOctave}) {
      w_ = squares_;
      units_ = models;
      FindScale(search, scale, score);
      Snap(scale);
      // A scale is judged by what its weights teach: before, noise hides the grid.
      if (!AllBelow(score, kCertain)) {
        LearnFrom(kLearningRounds, score);
        const bool check = same_grid && search == Search::kOctave;
        for (int lane = 0; check && lane < block_->num_units; ++lane) {
          const int orders = facts_.order(block_->first_unit + lane) - block_->first_order + 1;
          if (RepeatsAnOrder(units_[lane], gram_.get(), orders, lane, rounding)) score[lane] = 1.0f;
        }
      }
      KeepBetter(score, best_score);
      if (AllBelow(best_score, kResolved)) break;
    }
  }
  for (int lane = 0; lane < kAuditLanes; ++lane) outcome[lane] = OutcomeOf(lane, best_score[lane]);
  return best_;
}

}  // namespace unswift
