// Modified Gram-Schmidt on one small matrix. Compiled once per Highway target.
//
// With the right-hand side as last column this solves least squares as stably as Householder's
// method (Bjorck 1967). Four columns at a time meet those before them: one pass over q_i and the
// four subtracts their parts along q_i and forms their products with q_(i+1). The four stay in the
// first-level cache, so a q is read from the second once for eight multiply-adds.
#include <cmath>
#include <cstddef>

#include "hwy/highway.h"
#include "unswift/series/least_squares_kernel.h"

HWY_BEFORE_NAMESPACE();
namespace unswift {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using F64Tag = hn::CappedTag<double, 8>;
using F64Vec = hn::Vec<F64Tag>;

constexpr int kPanel = 4;
// A column whose norm falls below this part of its own is taken as dependent on those before it.
constexpr double kDependent = 1e-13;

/// Writes the weighted basis columns (and the right-hand side) of the problem.
HWY_INLINE void FillColumns(const FactorProblem& p) {
  const F64Tag d;
  const auto width = static_cast<int64_t>(hn::Lanes(d));
  double* current = p.scratch;
  double* previous = p.scratch + p.rows;
  for (int64_t i = 0; i < p.rows; i += width) {
    hn::Store(hn::Set(d, 1.0), d, current + i);
    hn::Store(hn::Load(d, p.position + i), d, previous + i);
  }
  const auto two = hn::Set(d, 2.0);
  for (int n = 0; n <= p.max_order; ++n) {
    double* column = p.columns + (p.reversed ? p.max_order - n : n) * p.rows;
    const auto slope = hn::Set(d, p.chebyshev ? static_cast<double>(n) * n : n);
    for (int64_t i = 0; i < p.rows; i += width) {
      const auto value = hn::Load(d, current + i);
      const auto factor = hn::MulAdd(slope, hn::Load(d, p.beta + i), hn::Load(d, p.alpha + i));
      hn::Store(hn::Mul(value, factor), d, column + i);
      const auto scaled = hn::Mul(hn::Load(d, p.position + i), value);
      const auto next = p.chebyshev ? hn::MulSub(two, scaled, hn::Load(d, previous + i)) : scaled;
      hn::Store(next, d, previous + i);
    }
    if (p.root_ridge > 0.0) column[p.first_ridge_row + n] = p.root_ridge;
    double* swap = current;
    current = previous;
    previous = swap;
  }
  if (p.reversed) return;
  double* last = p.columns + (p.max_order + 1) * p.rows;
  for (int64_t i = 0; i < p.rows; i += width) hn::Store(hn::Load(d, p.rhs + i), d, last + i);
}

HWY_INLINE double Dot(const double* a, const double* b, int64_t rows) {
  const F64Tag d;
  const auto width = static_cast<int64_t>(hn::Lanes(d));
  auto even = hn::Zero(d), odd = hn::Zero(d);
  for (int64_t i = 0; i < rows; i += 2 * width) {
    even = hn::MulAdd(hn::Load(d, a + i), hn::Load(d, b + i), even);
    odd = hn::MulAdd(hn::Load(d, a + i + width), hn::Load(d, b + i + width), odd);
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(even, odd)));
}

/// dot[c] = v_c . q of kCols columns, `rows` doubles apart.
template <int kCols>
HWY_INLINE void DotPanel(const double* v, const double* q, int64_t rows, double* dot) {
  for (int c = 0; c < kCols; ++c) dot[c] = Dot(v + c * rows, q, rows);
}

/// v_c -= dot[c] q for kCols columns; then dot[c] = v_c . next.
template <int kCols>
HWY_INLINE void SubtractAndDot(double* HWY_RESTRICT v, const double* HWY_RESTRICT q,
                               const double* HWY_RESTRICT next, int64_t rows, double* dot) {
  const F64Tag d;
  F64Vec s[kCols], sum[kCols];
  for (int c = 0; c < kCols; ++c) {
    s[c] = hn::Set(d, dot[c]);
    sum[c] = hn::Zero(d);
  }
  for (int64_t i = 0; i < rows; i += static_cast<int64_t>(hn::Lanes(d))) {
    const auto from = hn::Load(d, q + i);
    const auto to = hn::Load(d, next + i);
    HWY_UNROLL(kPanel)
    for (int c = 0; c < kCols; ++c) {
      const auto value = hn::NegMulAdd(s[c], from, hn::Load(d, v + c * rows + i));
      hn::Store(value, d, v + c * rows + i);
      sum[c] = hn::MulAdd(value, to, sum[c]);
    }
  }
  for (int c = 0; c < kCols; ++c) dot[c] = hn::GetLane(hn::SumOfLanes(d, sum[c]));
}

/// v -= s q; returns the squared norm of the new v.
HWY_INLINE double SubtractAndSquare(double* HWY_RESTRICT v, double s, const double* HWY_RESTRICT q,
                                    int64_t rows) {
  const F64Tag d;
  const auto width = static_cast<int64_t>(hn::Lanes(d));
  auto even = hn::Zero(d), odd = hn::Zero(d);
  const auto factor = hn::Set(d, s);
  const auto step = [&](int64_t i, F64Vec& sum) HWY_ATTR {
    const auto value = hn::NegMulAdd(factor, hn::Load(d, q + i), hn::Load(d, v + i));
    hn::Store(value, d, v + i);
    sum = hn::MulAdd(value, value, sum);
  };
  for (int64_t i = 0; i < rows; i += 2 * width) {
    step(i, even);
    step(i + width, odd);
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(even, odd)));
}

/// v /= its norm, or 0 where the column depends on those before it. Returns R[k, k].
HWY_INLINE double Normalise(double* v, double squared, double original, int64_t rows) {
  const F64Tag d;
  const bool independent = squared > kDependent * kDependent * original;
  const double norm = independent ? std::sqrt(squared) : 0.0;
  const auto inverse = hn::Set(d, independent ? 1.0 / norm : 0.0);
  for (int64_t i = 0; i < rows; i += static_cast<int64_t>(hn::Lanes(d))) {
    hn::Store(hn::Mul(hn::Load(d, v + i), inverse), d, v + i);
  }
  return norm;
}

/// Columns k .. k + kCols - 1, all of them of the basis.
template <int kCols>
HWY_INLINE void OrthogonalisePanel(const FactorProblem& p, int k) {
  double* const panel = p.columns + k * p.rows;
  double original[kCols], dot[kCols];
  for (int c = 0; c < kCols; ++c) {
    original[c] = Dot(panel + c * p.rows, panel + c * p.rows, p.rows);
  }
  const auto store = [&](int row) {
    for (int c = 0; c < kCols; ++c) p.r[row * p.num_cols() + k + c] = dot[c];
  };
  if (k > 0) DotPanel<kCols>(panel, p.columns, p.rows, dot);
  for (int i = 0; i < k; ++i) {
    store(i);
    const double* const q = p.columns + i * p.rows;
    // After the last q the products are with the panel's first column, which are not used.
    SubtractAndDot<kCols>(panel, q, i + 1 < k ? q + p.rows : q, p.rows, dot);
  }
  for (int c = 0; c < kCols; ++c) {
    double* const v = panel + c * p.rows;
    for (int i = 0; i < c; ++i) {
      const double* const q = panel + i * p.rows;
      const double s = Dot(v, q, p.rows);
      p.r[(k + i) * p.num_cols() + k + c] = s;
      SubtractAndSquare(v, s, q, p.rows);
    }
    p.r[(k + c) * p.num_cols() + k + c] = Normalise(v, Dot(v, v, p.rows), original[c], p.rows);
  }
}

/// The last column: what is left of it after each q.
HWY_INLINE void ProjectRightHandSide(const FactorProblem& p) {
  const int k = p.max_order + 1;
  double* const v = p.columns + k * p.rows;
  for (int i = 0; i < k; ++i) {
    const double* const q = p.columns + i * p.rows;
    const double s = Dot(v, q, p.rows);
    p.r[i * p.num_cols() + k] = s;
    p.residual[i] = SubtractAndSquare(v, s, q, p.rows);
  }
}

HWY_NOINLINE void FactorColumns(const FactorProblem& p) {
  FillColumns(p);
  int k = 0;
  for (; k + kPanel <= p.max_order + 1; k += kPanel) OrthogonalisePanel<kPanel>(p, k);
  for (; k <= p.max_order; ++k) OrthogonalisePanel<1>(p, k);
  if (!p.reversed) ProjectRightHandSide(p);
}

}  // namespace HWY_NAMESPACE
}  // namespace unswift
HWY_AFTER_NAMESPACE();
