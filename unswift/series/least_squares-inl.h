// Modified Gram-Schmidt on eight matrices at once. Compiled once per Highway target.
//
// With the right-hand side as last column this solves least squares as stably as Householder's
// method (Bjorck 1967). Columns are taken from left to right; one pass over the current column
// subtracts its part along q_i and forms its product with q_(i+1), so it stays in the first-level
// cache.
#include <cstddef>

#include "hwy/highway.h"
#include "unswift/series/least_squares_kernel.h"

HWY_BEFORE_NAMESPACE();
namespace unswift {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using F64Tag = hn::CappedTag<double, 8>;

constexpr int64_t kWidth = 8;
// A column whose norm falls below this part of its own is taken as dependent on those before it.
constexpr double kDependent = 1e-13;

/// Calls fn(offset) for each vector of the eight lanes.
template <class Fn>
HWY_INLINE void ForLanes(const Fn& fn) {
  const int64_t width = static_cast<int64_t>(hn::Lanes(F64Tag()));
  for (int64_t lane = 0; lane < kWidth; lane += width) fn(lane);
}

/// Writes the weighted basis columns (and the right-hand side) of the problem.
HWY_INLINE void FillColumns(const LaneProblem& p, int64_t lane) {
  const F64Tag d;
  double* current = p.scratch;
  double* previous = p.scratch + p.rows * kWidth;
  for (int64_t i = 0; i < p.rows; ++i) {
    hn::Store(hn::Set(d, 1.0), d, current + i * kWidth + lane);
    hn::Store(hn::Load(d, p.position + i * kWidth + lane), d, previous + i * kWidth + lane);
  }
  const auto two = hn::Set(d, 2.0);
  for (int n = 0; n <= p.max_order; ++n) {
    double* column = p.columns + (p.reversed ? p.max_order - n : n) * p.rows * kWidth;
    const auto has = hn::Load(d, p.has_order + n * kWidth + lane);
    const auto slope = hn::Set(d, p.chebyshev ? static_cast<double>(n) * n : n);
    for (int64_t i = 0; i < p.rows; ++i) {
      const int64_t at = i * kWidth + lane;
      const auto value = hn::Load(d, current + at);
      const auto factor = hn::MulAdd(slope, hn::Load(d, p.beta + at), hn::Load(d, p.alpha + at));
      hn::Store(hn::Mul(hn::Mul(value, factor), has), d, column + at);
      const auto scaled = hn::Mul(hn::Load(d, p.position + at), value);
      const auto next = p.chebyshev ? hn::MulSub(two, scaled, hn::Load(d, previous + at)) : scaled;
      hn::Store(next, d, previous + at);
    }
    if (p.first_ridge_row < p.rows) {
      const int64_t at = (p.first_ridge_row + n) * kWidth + lane;
      hn::Store(hn::Mul(hn::Load(d, p.root_ridge + lane), has), d, column + at);
    }
    double* swap = current;
    current = previous;
    previous = swap;
  }
  if (p.reversed) return;
  double* last = p.columns + (p.max_order + 1) * p.rows * kWidth;
  for (int64_t i = 0; i < p.rows; ++i) {
    hn::Store(hn::Load(d, p.rhs + i * kWidth + lane), d, last + i * kWidth + lane);
  }
}

/// Per lane: sum over rows of a * b.
HWY_INLINE hn::Vec<F64Tag> Dot(const double* HWY_RESTRICT a, const double* HWY_RESTRICT b,
                               int64_t rows) {
  const F64Tag d;
  auto s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
  for (int64_t i = 0; i < rows * kWidth; i += 4 * kWidth) {
    s0 = hn::MulAdd(hn::Load(d, a + i), hn::Load(d, b + i), s0);
    s1 = hn::MulAdd(hn::Load(d, a + i + kWidth), hn::Load(d, b + i + kWidth), s1);
    s2 = hn::MulAdd(hn::Load(d, a + i + 2 * kWidth), hn::Load(d, b + i + 2 * kWidth), s2);
    s3 = hn::MulAdd(hn::Load(d, a + i + 3 * kWidth), hn::Load(d, b + i + 3 * kWidth), s3);
  }
  return hn::Add(hn::Add(s0, s1), hn::Add(s2, s3));
}

/// v -= s q; returns the product of the new v with `next` (which may be v: its squared norm).
template <bool kSquared>
HWY_INLINE hn::Vec<F64Tag> SubtractAndDot(double* HWY_RESTRICT v, hn::Vec<F64Tag> s,
                                          const double* HWY_RESTRICT q, const double* next,
                                          int64_t rows) {
  const F64Tag d;
  auto s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
  const auto step = [&](int64_t i, hn::Vec<F64Tag>& sum) HWY_ATTR {
    const auto value = hn::NegMulAdd(s, hn::Load(d, q + i), hn::Load(d, v + i));
    hn::Store(value, d, v + i);
    sum = hn::MulAdd(value, kSquared ? value : hn::Load(d, next + i), sum);
  };
  for (int64_t i = 0; i < rows * kWidth; i += 4 * kWidth) {
    step(i, s0);
    step(i + kWidth, s1);
    step(i + 2 * kWidth, s2);
    step(i + 3 * kWidth, s3);
  }
  return hn::Add(hn::Add(s0, s1), hn::Add(s2, s3));
}

/// v *= 1 / norm, or 0 where the column depends on those before it. Returns R[k, k].
HWY_INLINE hn::Vec<F64Tag> Normalise(double* v, hn::Vec<F64Tag> squared, hn::Vec<F64Tag> original,
                                     int64_t rows) {
  const F64Tag d;
  const auto independent = hn::Gt(squared, hn::Mul(hn::Set(d, kDependent * kDependent), original));
  const auto norm = hn::IfThenElseZero(independent, hn::Sqrt(squared));
  const auto safe = hn::IfThenElse(independent, norm, hn::Set(d, 1.0));
  const auto inverse = hn::IfThenElseZero(independent, hn::Div(hn::Set(d, 1.0), safe));
  for (int64_t i = 0; i < rows * kWidth; i += kWidth) {
    hn::Store(hn::Mul(hn::Load(d, v + i), inverse), d, v + i);
  }
  return norm;
}

HWY_INLINE void OrthogonaliseColumn(const LaneProblem& p, int k, bool is_rhs, int64_t lane) {
  const F64Tag d;
  const int64_t size = p.rows * kWidth;
  const double* q = p.columns + lane;
  double* v = p.columns + k * size + lane;
  const auto original = Dot(v, v, p.rows);
  auto squared = original;
  if (is_rhs) {
    for (int i = 0; i < k; ++i) {
      const auto s = Dot(v, q + i * size, p.rows);
      hn::StoreU(s, d, p.r + (i * p.num_cols() + k) * kWidth + lane);
      squared = SubtractAndDot<true>(v, s, q + i * size, nullptr, p.rows);
      hn::StoreU(squared, d, p.residual + i * kWidth + lane);
    }
    return;
  }
  auto s = k > 0 ? Dot(v, q, p.rows) : hn::Zero(d);
  for (int i = 0; i < k; ++i) {
    hn::StoreU(s, d, p.r + (i * p.num_cols() + k) * kWidth + lane);
    if (i + 1 < k) {
      s = SubtractAndDot<false>(v, s, q + i * size, q + (i + 1) * size, p.rows);
    } else {
      squared = SubtractAndDot<true>(v, s, q + i * size, nullptr, p.rows);
    }
  }
  const auto norm = Normalise(v, squared, original, p.rows);
  hn::StoreU(norm, d, p.r + (k * p.num_cols() + k) * kWidth + lane);
}

HWY_NOINLINE void FactorLanes(const LaneProblem& p) {
  ForLanes([&](int64_t lane) HWY_ATTR {
    FillColumns(p, lane);
    for (int k = 0; k < p.num_cols(); ++k) OrthogonaliseColumn(p, k, k > p.max_order, lane);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace unswift
HWY_AFTER_NAMESPACE();
