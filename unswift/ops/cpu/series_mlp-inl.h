// Series features. Compiled once per Highway target.
//
// Linear guard, with tc = t clamped to [-1, 1] and e = t - tc. Beyond +1 the C1 continuation is
// p(1) + p'(1) e, and T_n(1) = 1, T_n'(1) = n^2; (t^n)(1) = 1, (t^n)' = n. Both bases have the
// parity of n, so beyond -1 it is (-1)^n + (-1)^(n-1) s_n e with the same slope s_n. The recurrence
// at tc gives the first terms on both sides, and the second is s_n e for odd n and s_n |e| for even
// n (e < 0 there). Inside, e = 0.
#include "unswift/ops/cpu/series_kernel.h"
#include "unswift/ops/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unswift {
namespace HWY_NAMESPACE {

/// The argument of one vector of units.
struct SeriesArgument {
  F32Vec t;       // where the recurrence runs
  F32Vec excess;  // linear guard: t - clamped t
  F32Vec kept;    // truncation: 1 where all orders count, else 0
};

HWY_INLINE SeriesArgument MakeArgument(const SeriesUnits& units, F32Vec z, int64_t unit,
                                       int64_t count) {
  const F32Tag d;
  const auto distance = hn::Sub(z, LoadUpTo(units.centre.data() + unit, count));
  auto t = hn::Mul(distance, LoadUpTo(units.inv_radius.data() + unit, count));
  auto excess = hn::Zero(d);
  auto kept = hn::Set(d, 1.0f);
  if (units.guard == SeriesGuard::kLinear) {
    const auto clamped = hn::Min(hn::Max(t, hn::Set(d, -1.0f)), hn::Set(d, 1.0f));
    excess = hn::Sub(t, clamped);
    t = clamped;
  } else if (units.guard == SeriesGuard::kTruncate) {
    kept = hn::IfThenElseZero(hn::Le(hn::Abs(distance), hn::Set(d, units.cutoff)), kept);
  }
  return {t, excess, kept};
}

/// p_n from the recurrence value T_n(t) or t^n; n >= 1.
HWY_INLINE F32Vec Guarded(const SeriesUnits& units, const SeriesArgument& arg, int64_t n,
                          F32Vec value) {
  const F32Tag d;
  if (units.guard == SeriesGuard::kLinear) {
    const float slope = static_cast<float>(units.basis == SeriesBasis::kChebyshev ? n * n : n);
    const auto excess = n % 2 == 1 ? arg.excess : hn::Abs(arg.excess);
    return hn::MulAdd(hn::Set(d, slope), excess, value);
  }
  if (units.guard == SeriesGuard::kTruncate && n > units.cutoff_order) {
    // A selection, not a product: far outside, the power may be infinite.
    return hn::IfThenElseZero(hn::Gt(arg.kept, hn::Zero(d)), value);
  }
  return value;
}

/// The recurrence value after `current`.
HWY_INLINE F32Vec NextOrder(SeriesBasis basis, int64_t n, F32Vec t, F32Vec previous,
                            F32Vec current) {
  if (basis == SeriesBasis::kTaylor || n == 0) return hn::Mul(t, current);
  return hn::MulSub(hn::Add(t, t), current, previous);
}

/// Features of units [begin, end) of one row, orders [orders.first, orders.last); `features` is the
/// row's first feature of these orders. The recurrence starts from order 0 every time: a few
/// multiply-adds per vector, where keeping its state would be four streams of memory.
void SeriesFeatureUnits(const SeriesUnits& units, const OrderRange& orders, const float* z,
                        const float* u, int64_t begin, int64_t end, float* features) {
  const F32Tag d;
  for (int64_t j = begin; j < end; j += kLanes) {
    const int64_t lanes = HWY_MIN(kLanes, end - j);
    const auto arg = MakeArgument(units, LoadUpTo(z + j, lanes), j, lanes);
    const auto scale = u == nullptr ? hn::Set(d, 1.0f) : LoadUpTo(u + j, lanes);
    auto previous = hn::Zero(d), current = hn::Set(d, 1.0f);
    float* out = features + j;
    for (int64_t n = 0; n < orders.last; ++n) {
      const int64_t count = HWY_MIN(lanes, units.units_of_order[n] - j);
      if (count <= 0) break;  // orders descend along the units
      if (n >= orders.first) {
        const auto p = n == 0 ? current : Guarded(units, arg, n, current);
        StoreUpTo(hn::Mul(p, scale), out, count);
        out += units.units_of_order[n];
      }
      const auto next = NextOrder(units.basis, n, arg.t, previous, current);
      previous = current;
      current = next;
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace unswift
HWY_AFTER_NAMESPACE();
