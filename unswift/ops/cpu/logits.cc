#include "unswift/ops/logits.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unswift/ops/cpu/logits-inl.h"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "unswift/ops/cpu/logits-inl.h"

#if HWY_ONCE

namespace unswift {

HWY_EXPORT(MaxKernel);
HWY_EXPORT(SumExpKernel);
HWY_EXPORT(FindKernel);

double LogSumExp(std::span<const float> logits) {
  const auto n = static_cast<int64_t>(logits.size());
  const double largest = HWY_DYNAMIC_DISPATCH(MaxKernel)(logits.data(), n);
  if (std::isinf(largest)) return largest;  // all -infinity (or none), or a +infinity
  return largest + std::log(HWY_DYNAMIC_DISPATCH(SumExpKernel)(logits.data(), n, largest));
}

int64_t ArgMax(std::span<const float> values) {
  const auto n = static_cast<int64_t>(values.size());
  const float largest = HWY_DYNAMIC_DISPATCH(MaxKernel)(values.data(), n);
  const int64_t index = HWY_DYNAMIC_DISPATCH(FindKernel)(values.data(), n, largest);
  return index < n ? index : 0;
}

}  // namespace unswift
#endif  // HWY_ONCE
