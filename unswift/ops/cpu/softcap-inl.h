// cap * tanh(x / cap). Compiled once per Highway target.
#if defined(UNSWIFT_OPS_CPU_SOFTCAP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef UNSWIFT_OPS_CPU_SOFTCAP_INL_H_
#undef UNSWIFT_OPS_CPU_SOFTCAP_INL_H_
#else
#define UNSWIFT_OPS_CPU_SOFTCAP_INL_H_
#endif

#include "hwy/contrib/math/math-inl.h"
#include "unswift/ops/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unswift {
namespace HWY_NAMESPACE {

/// In place. Highway's tanh is within 4 ulp.
inline void SoftCapRow(float* x, int64_t n, float cap) {
  const F32Tag d;
  const auto scale = hn::Set(d, cap), inverse = hn::Set(d, 1.0f / cap);
  ForEachVector(n, [&](int64_t i, int64_t count) HWY_ATTR {
    const auto v = hn::Mul(LoadUpTo(x + i, count), inverse);
    StoreUpTo(hn::Mul(scale, hn::Tanh(d, v)), x + i, count);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace unswift
HWY_AFTER_NAMESPACE();

#endif  // toggle
