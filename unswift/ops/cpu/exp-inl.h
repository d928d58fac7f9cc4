// The exponential of softmax weights. Compiled once per Highway target.
//
// Highway's Exp serves any argument, in about twice as many operations.
#if defined(UNSWIFT_OPS_CPU_EXP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef UNSWIFT_OPS_CPU_EXP_INL_H_
#undef UNSWIFT_OPS_CPU_EXP_INL_H_
#else
#define UNSWIFT_OPS_CPU_EXP_INL_H_
#endif

#include "unswift/ops/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unswift {
namespace HWY_NAMESPACE {

/// exp(x) for x <= 0, and NaN for NaN. Exactly 1 at 0, exactly 0 below kExpZero (1e-37). Relative
/// error: at most 4 u of the polynomial and its steps (minimax on [-1/2, 1/2]: 2e-9 of it) and
/// 0.25 u |x| of log2(e) in float32, u = 2^-24; u |x| more where multiply-adds are not fused.
constexpr float kExpZero = -85.0f;
HWY_INLINE F32Vec ExpNonPositive(F32Vec x) {
  const F32Tag d;
  const hn::RebindToSigned<F32Tag> di;
  // 1.5 * 2^23: adding it rounds to an integer n, which then stands in the lowest bits.
  const auto magic = hn::Set(d, 12582912.0f), log2e = hn::Set(d, 1.44269504f);
  const auto shifted = hn::MulAdd(x, log2e, magic);
  const auto r = hn::MulSub(x, log2e, hn::Sub(shifted, magic));
  auto p = hn::Set(d, 0.00015353363f);
  for (const float c : {0.0013398875f, 0.009618437f, 0.055503324f, 0.24022648f, 0.6931472f, 1.0f}) {
    p = hn::MulAdd(p, r, hn::Set(d, c));
  }
  const auto exponent = hn::ShiftLeft<23>(hn::BitCast(di, shifted));
  const auto scaled = hn::BitCast(d, hn::Add(hn::BitCast(di, p), exponent));  // p 2^n
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, kExpZero)), scaled);
}

}  // namespace HWY_NAMESPACE
}  // namespace unswift
HWY_AFTER_NAMESPACE();

#endif  // toggle
