// The steps of normal_equations.h. Compiled once per Highway target.
#include <cmath>
#include <cstddef>
#include <utility>

#include "hwy/highway.h"
#include "unswift/series/least_squares_kernel.h"

HWY_BEFORE_NAMESPACE();
namespace unswift {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using F64Tag = hn::CappedTag<double, 8>;
using F64Vec = hn::Vec<F64Tag>;

// Where a pivot falls below this part of its diagonal, three digits have cancelled. Of the units of
// SmolLM2-135M one in seventeen does, of a 1B shape with random weights one in 360: where rows
// beyond the interval weigh much.
constexpr double kLeastPivot = 1e-3;

HWY_INLINE double SumPair(F64Vec a, F64Vec b) {
  return hn::GetLane(hn::SumOfLanes(F64Tag(), hn::Add(a, b)));
}

/// moments[n] = sum w T_n, n = 0 .. 2 N, from 2 T_j T_k = T_(j + k) + T_|j - k|; rhs[n] = sum w f
/// T_n, n = 0 .. N. `u` and `before` hold alpha T_n and alpha T_(n - 1) of every row.
HWY_INLINE void SumMoments(const NormalProblem& p, double* moments, double* rhs) {
  const F64Tag d;
  const auto width = static_cast<int64_t>(hn::Lanes(d));
  double* u = p.scratch;
  double* before = p.scratch + p.rows;
  for (int64_t i = 0; i < p.rows; i += width) {
    const auto alpha = hn::Load(d, p.alpha + i);
    hn::Store(alpha, d, u + i);
    hn::Store(hn::Mul(alpha, hn::Load(d, p.position + i)), d, before + i);  // T_-1 = T_1
  }
  for (int n = 0; n <= p.max_order; ++n) {
    auto square0 = hn::Zero(d), square1 = square0, next0 = square0, next1 = square0;
    auto rhs0 = square0, rhs1 = square0;
    const auto step = [&](int64_t i, F64Vec& square, F64Vec& product, F64Vec& of_rhs) HWY_ATTR {
      const auto value = hn::Load(d, u + i), x = hn::Load(d, p.position + i);
      const auto next = hn::MulSub(hn::Add(x, x), value, hn::Load(d, before + i));
      square = hn::MulAdd(value, value, square);
      product = hn::MulAdd(value, next, product);
      of_rhs = hn::MulAdd(value, hn::Load(d, p.rhs + i), of_rhs);
      hn::Store(next, d, before + i);
    };
    for (int64_t i = 0; i < p.rows; i += 2 * width) {
      step(i, square0, next0, rhs0);
      step(i + width, square1, next1, rhs1);
    }
    const double square = SumPair(square0, square1), product = SumPair(next0, next1);
    moments[2 * n] = n == 0 ? square : 2.0 * square - moments[0];
    if (n < p.max_order) moments[2 * n + 1] = n == 0 ? product : 2.0 * product - moments[1];
    rhs[n] = SumPair(rhs0, rhs1);
    std::swap(u, before);
  }
}

/// matrix[i] -= s matrix[k] from column `begin` on.
HWY_INLINE void SubtractRow(const NormalProblem& p, double s, int k, int i, int begin) {
  const F64Tag d;
  const auto width = static_cast<int64_t>(hn::Lanes(d));
  const auto factor = hn::Set(d, s);
  const double* const from = p.matrix + k * p.stride();
  double* const to = p.matrix + i * p.stride();
  for (int64_t j = begin / width * width; j < p.stride(); j += width) {
    hn::Store(hn::NegMulAdd(factor, hn::Load(d, from + j), hn::Load(d, to + j)), d, to + j);
  }
}

/// The upper triangle and the right-hand side beside it become Cholesky's factor and what forward
/// substitution leaves.
HWY_INLINE bool Factor(const NormalProblem& p) {
  double diagonal[kMaxNormalColumns];
  for (int k = 0; k <= p.max_order; ++k) diagonal[k] = p.matrix[k * p.stride() + k];
  for (int k = 0; k <= p.max_order; ++k) {
    double* const row = p.matrix + k * p.stride();
    if (!(row[k] > kLeastPivot * diagonal[k])) return false;
    const double inverse = 1.0 / std::sqrt(row[k]);
    for (int j = k; j <= p.max_order + 1; ++j) row[j] *= inverse;
    for (int i = k + 1; i <= p.max_order; ++i) SubtractRow(p, row[i], k, i, i);
  }
  return true;
}

HWY_INLINE void BackSubstitute(const NormalProblem& p, double* coefficients) {
  for (int n = p.max_order; n >= 0; --n) {
    const double* const row = p.matrix + n * p.stride();
    double sum = row[p.max_order + 1];
    for (int k = n + 1; k <= p.max_order; ++k) sum -= row[k] * coefficients[k];
    coefficients[n] = sum / row[n];
  }
}

/// What the polynomial leaves of the rows without beta, by Clenshaw's recurrence.
HWY_INLINE double SquaredMiss(const NormalProblem& p, const double* coefficients) {
  const F64Tag d;
  auto sum = hn::Zero(d);
  for (int64_t i = 0; i < p.rows; i += static_cast<int64_t>(hn::Lanes(d))) {
    const auto x = hn::Load(d, p.position + i), twice = hn::Add(x, x);
    auto b1 = hn::Zero(d), b2 = hn::Zero(d);
    for (int n = p.max_order; n > 0; --n) {
      const auto b0 = hn::MulAdd(twice, b1, hn::Sub(hn::Set(d, coefficients[n]), b2));
      b2 = b1;
      b1 = b0;
    }
    const auto value = hn::MulAdd(x, b1, hn::Sub(hn::Set(d, coefficients[0]), b2));
    const auto miss = hn::NegMulAdd(hn::Load(d, p.alpha + i), value, hn::Load(d, p.rhs + i));
    sum = hn::MulAdd(miss, miss, sum);
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

/// p_n of a row at an end of the interval: (+-1)^n (alpha + n^2 beta).
HWY_INLINE void EndColumns(const NormalProblem& p, const EndRow& end, double* values) {
  for (int n = 0; n <= p.max_order; ++n) {
    const double value = end.alpha + static_cast<double>(n) * n * end.beta;
    values[n] = end.position < 0.0 && n % 2 == 1 ? -value : value;
  }
}

HWY_INLINE void FillMatrix(const NormalProblem& p) {
  double moments[2 * kMaxNormalColumns], rhs[kMaxNormalColumns];
  SumMoments(p, moments, rhs);
  for (int i = 0; i <= p.max_order; ++i) {
    double* const row = p.matrix + i * p.stride();
    for (int j = 0; j < p.stride(); ++j) row[j] = 0.0;
    for (int j = i; j <= p.max_order; ++j) row[j] = 0.5 * (moments[i + j] + moments[j - i]);
    row[p.max_order + 1] = rhs[i];
  }
  double values[kMaxNormalColumns];
  for (int e = 0; e < p.num_ends; ++e) {
    EndColumns(p, p.ends[e], values);
    for (int i = 0; i <= p.max_order; ++i) {
      double* const row = p.matrix + i * p.stride();
      for (int j = i; j <= p.max_order; ++j) row[j] += values[i] * values[j];
      row[p.max_order + 1] += values[i] * p.ends[e].rhs;
    }
  }
}

HWY_NOINLINE bool SolveNormalProblem(const NormalProblem& p) {
  FillMatrix(p);
  if (!Factor(p)) return false;
  double coefficients[kMaxNormalColumns], values[kMaxNormalColumns];
  BackSubstitute(p, coefficients);
  // Of the highest order from the rows themselves: a difference of sums would cancel.
  double residual = SquaredMiss(p, coefficients);
  for (int e = 0; e < p.num_ends; ++e) {
    EndColumns(p, p.ends[e], values);
    double miss = p.ends[e].rhs;
    for (int n = 0; n <= p.max_order; ++n) miss -= values[n] * coefficients[n];
    residual += miss * miss;
  }
  for (int n = p.max_order; n >= 0; --n) {
    p.residual[n] = residual;
    const double part = p.matrix[n * p.stride() + p.max_order + 1];  // along the n-th direction
    residual += part * part;
  }
  return true;
}

}  // namespace HWY_NAMESPACE
}  // namespace unswift
HWY_AFTER_NAMESPACE();
