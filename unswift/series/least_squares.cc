#include "unswift/series/least_squares.h"

#include <algorithm>
#include <cmath>

#include "unswift/base/check.h"
#include "unswift/series/derivatives.h"
#include "unswift/series/least_squares_kernel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unswift/series/least_squares.cc"
#include "hwy/foreach_target.h"
#include "unswift/series/least_squares-inl.h"

#if HWY_ONCE
namespace unswift {
HWY_EXPORT(FactorLanes);

namespace {

// Rows beyond one side of the interval: columns 1, s = |t| - 1 and the value, reduced to the upper
// triangle of their QR factor.
class OutsideRows {
 public:
  void Clear() { one_.clear(), excess_.clear(), value_.clear(); }
  void Append(double root_weight, double excess, double value) {
    one_.push_back(root_weight);
    excess_.push_back(root_weight * excess);
    value_.push_back(root_weight * value);
  }
  void ReduceTo(double side, SampleRows& rows) {
    if (one_.empty()) return;
    const double r00 = Normalise(one_);
    const double r01 = Subtract(one_, excess_), r02 = Subtract(one_, value_);
    const double r11 = Normalise(excess_);
    const double r12 = Subtract(excess_, value_);
    rows.Append(side, r00, r01, r02);
    rows.Append(side, 0.0, r11, r12);
    rows.Append(side, 0.0, 0.0, Normalise(value_));
  }

 private:
  using Column = std::vector<double>;
  static double Normalise(Column& q) {
    double squared = 0.0;
    for (const double x : q) squared += x * x;
    const double norm = std::sqrt(squared);
    if (norm > 0.0) {
      for (double& x : q) x /= norm;
    }
    return norm;
  }
  static double Subtract(const Column& q, Column& v) {
    double dot = 0.0;
    for (size_t i = 0; i < q.size(); ++i) dot += q[i] * v[i];
    for (size_t i = 0; i < q.size(); ++i) v[i] -= dot * q[i];
    return dot;
  }
  Column one_, excess_, value_;
};

}  // namespace

void SampleRows::Clear() {
  position.clear();
  alpha.clear();
  beta.clear();
  rhs.clear();
}

void SampleRows::Append(double row_position, double row_alpha, double row_beta, double row_rhs) {
  position.push_back(row_position);
  alpha.push_back(row_alpha);
  beta.push_back(row_beta);
  rhs.push_back(row_rhs);
}

void MakeSampleRows(const WeightedBins& bins, const SampleSource& source, bool with_values,
                    SampleRows& rows) {
  thread_local OutsideRows below, above;
  below.Clear();
  above.Clear();
  rows.Clear();
  for (size_t i = 0; i < bins.centre.size(); ++i) {
    const double x = bins.centre[i];
    const double t = (x - source.bias - source.centre) * source.inv_radius;
    const double root_weight = std::sqrt(bins.weight[i]);
    const double value = with_values ? ActivationValue(source.activation, x) : 0.0;
    if (source.guard != SeriesGuard::kLinear || std::abs(t) <= 1.0) {
      rows.Append(t, root_weight, 0.0, root_weight * value);
    } else {
      (t < 0.0 ? below : above).Append(root_weight, std::abs(t) - 1.0, value);
    }
  }
  below.ReduceTo(-1.0, rows);
  above.ReduceTo(1.0, rows);
}

void LaneSolver::SetLane(int lane, const SampleRows& rows, int order, double ridge) {
  UNSWIFT_CHECK(order >= 0 && order <= kMaxSeriesOrder);
  lanes_[lane] = rows;
  orders_[lane] = order;
  ridge_[lane] = ridge;
}

void LaneSolver::Factor(bool reversed) {
  int64_t rows = 0;
  double ridge = 0.0;
  max_order_ = 0;
  for (int lane = 0; lane < kLaneUnits; ++lane) {
    rows = std::max(rows, static_cast<int64_t>(lanes_[lane].size()));
    ridge = std::max(ridge, ridge_[lane]);
    if (lanes_[lane].size() > 0) max_order_ = std::max(max_order_, orders_[lane]);
  }
  LaneProblem p;
  p.first_ridge_row = rows;
  if (ridge > 0.0) rows += max_order_ + 1;
  p.rows = (rows + 3) / 4 * 4;
  if (ridge == 0.0) p.first_ridge_row = p.rows;
  p.max_order = max_order_;
  p.chebyshev = basis_ == SeriesBasis::kChebyshev;
  p.reversed = reversed;
  num_cols_ = p.num_cols();

  const int64_t size = p.rows * kLaneUnits;
  const int64_t orders_size = (max_order_ + 1) * kLaneUnits;
  const int64_t num_inputs = 6 * size + orders_size + kLaneUnits;
  if (num_inputs + num_cols_ * size > capacity_) {
    capacity_ = num_inputs + num_cols_ * size;
    memory_ = hwy::AllocateAligned<double>(capacity_);
  }
  double* input = memory_.get();
  std::fill(input, input + num_inputs, 0.0);
  double* const position = input;
  double* const alpha = position + size;
  double* const beta = alpha + size;
  double* const rhs = beta + size;
  double* const has_order = rhs + 3 * size;
  double* const root_ridge = has_order + orders_size;
  p.scratch = rhs + size;
  p.columns = root_ridge + kLaneUnits;
  for (int lane = 0; lane < kLaneUnits; ++lane) {
    const SampleRows& from = lanes_[lane];
    for (size_t i = 0; i < from.size(); ++i) {
      const size_t at = i * kLaneUnits + lane;
      position[at] = from.position[i];
      alpha[at] = from.alpha[i];
      beta[at] = from.beta[i];
      rhs[at] = from.rhs[i];
    }
    for (int n = 0; n <= orders_[lane]; ++n) {
      if (from.size() > 0) has_order[n * kLaneUnits + lane] = 1.0;
    }
    root_ridge[lane] = std::sqrt(ridge_[lane]);
    lanes_[lane].Clear();
  }
  r_.assign(static_cast<size_t>(num_cols_) * num_cols_ * kLaneUnits, 0.0);
  residual_.assign(orders_size, 0.0);
  p.position = position;
  p.alpha = alpha;
  p.beta = beta;
  p.rhs = rhs;
  p.has_order = has_order;
  p.root_ridge = root_ridge;
  p.r = r_.data();
  p.residual = residual_.data();
  HWY_DYNAMIC_DISPATCH(FactorLanes)(p);
}

void SolveCoefficients(const LaneSolver& solver, int lane, int order,
                       std::span<double> coefficients) {
  UNSWIFT_CHECK(static_cast<int>(coefficients.size()) == order + 1);
  const int rhs = solver.max_order() + 1;
  for (int n = order; n >= 0; --n) {
    double sum = solver.r(n, rhs, lane);
    for (int k = n + 1; k <= order; ++k) sum -= solver.r(n, k, lane) * coefficients[k];
    const double diagonal = solver.r(n, n, lane);
    coefficients[n] = diagonal > 0.0 ? sum / diagonal : 0.0;
  }
}

}  // namespace unswift
#endif  // HWY_ONCE
