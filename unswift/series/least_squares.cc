#include "unswift/series/least_squares.h"

#include <algorithm>
#include <cmath>

#include "unswift/base/check.h"
#include "unswift/base/integers.h"
#include "unswift/series/derivatives.h"
#include "unswift/series/least_squares_kernel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unswift/series/least_squares.cc"
#include "hwy/foreach_target.h"
#include "unswift/series/least_squares-inl.h"

#if HWY_ONCE
namespace unswift {
HWY_EXPORT(FactorColumns);

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

void SeriesSolver::Factor(const SampleRows& rows, int order, double ridge, bool reversed) {
  UNSWIFT_CHECK(order >= 0 && order <= kMaxSeriesOrder);
  const auto num_rows = static_cast<int64_t>(rows.size());
  FactorProblem p;
  p.rows = RoundUp(num_rows + (ridge > 0.0 ? order + 1 : 0), kRowGrain);
  p.first_ridge_row = num_rows;
  p.max_order = order;
  p.chebyshev = basis_ == SeriesBasis::kChebyshev;
  p.reversed = reversed;
  p.root_ridge = std::sqrt(ridge);
  order_ = order;
  num_cols_ = p.num_cols();
  constexpr int kInputs = 6;  // four of the rows, two of scratch
  double* next = GetDoubles(memory_, (kInputs + num_cols_) * p.rows);
  const auto padded = [&](const std::vector<double>& values) {
    double* const to = next;
    std::fill(std::copy(values.begin(), values.end(), to), to + p.rows, 0.0);
    next += p.rows;
    return to;
  };
  p.position = padded(rows.position);
  p.alpha = padded(rows.alpha);
  p.beta = padded(rows.beta);
  p.rhs = padded(rows.rhs);
  p.scratch = next;
  p.columns = next + 2 * p.rows;
  r_.assign(static_cast<size_t>(num_cols_) * num_cols_, 0.0);
  residual_.assign(order + 1, 0.0);
  p.r = r_.data();
  p.residual = residual_.data();
  HWY_DYNAMIC_DISPATCH(FactorColumns)(p);
}

void SolveCoefficients(const SeriesSolver& solver, std::span<double> coefficients) {
  const int order = solver.order();
  UNSWIFT_CHECK(static_cast<int>(coefficients.size()) == order + 1);
  for (int n = order; n >= 0; --n) {
    double sum = solver.r(n, order + 1);
    for (int k = n + 1; k <= order; ++k) sum -= solver.r(n, k) * coefficients[k];
    const double diagonal = solver.r(n, n);
    coefficients[n] = diagonal > 0.0 ? sum / diagonal : 0.0;
  }
}

}  // namespace unswift
#endif  // HWY_ONCE
