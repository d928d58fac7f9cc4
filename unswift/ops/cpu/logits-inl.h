// Reductions over logits. Compiled once per Highway target.
#include <algorithm>
#include <cmath>
#include <limits>

#include "hwy/contrib/math/math-inl.h"
#include "unswift/ops/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unswift {
namespace HWY_NAMESPACE {

/// The largest value that is not NaN; -infinity when there is none.
float MaxKernel(const float* x, int64_t n) {
  const F32Tag d;
  auto largest = hn::Set(d, -std::numeric_limits<float>::infinity());
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const auto v = LoadFloats(x + i);
    largest = hn::IfThenElse(hn::Gt(v, largest), v, largest);
  }
  // Not MaxOfLanes: some of its forms start from the lowest finite value.
  HWY_ALIGN float lanes[kLanes];
  hn::Store(largest, d, lanes);
  float result = *std::max_element(lanes, lanes + kLanes);
  for (; i < n; ++i) result = x[i] > result ? x[i] : result;
  return result;
}

/// Sum of exp(x - shift) in double.
double SumExpKernel(const float* x, int64_t n, double shift) {
  double sum = 0.0;
  int64_t i = 0;
#if HWY_HAVE_FLOAT64
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> half;
  constexpr int64_t kWide = HWY_LANES(double);
  const auto low =
      hn::Set(d, -700.0);  // exp underflows to 0 below; Highway's double range ends there
  auto total = hn::Zero(d);
  for (; i + kWide <= n; i += kWide) {
    const auto v = hn::Sub(hn::PromoteTo(d, hn::LoadU(half, x + i)), hn::Set(d, shift));
    const auto term = hn::Exp(d, hn::Max(v, low));
    total = hn::Add(total, hn::IfThenElse(hn::IsNaN(v), v, term));
  }
  sum = hn::GetLane(hn::SumOfLanes(d, total));
#endif
  for (; i < n; ++i) sum += std::exp(x[i] - shift);
  return sum;
}

/// Index of the first value equal to `value`, or n.
int64_t FindKernel(const float* x, int64_t n, float value) {
  const F32Tag d;
  const auto wanted = hn::Set(d, value);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const auto found = hn::Eq(LoadFloats(x + i), wanted);
    if (!hn::AllFalse(d, found)) break;
  }
  while (i < n && x[i] != value) ++i;
  return i;
}

}  // namespace HWY_NAMESPACE
}  // namespace unswift
HWY_AFTER_NAMESPACE();
