#include "unswift/ops/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unswift/ops/cpu/targets-inl.h"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "unswift/ops/cpu/targets-inl.h"

#if HWY_ONCE

namespace unswift {

HWY_EXPORT(ThisTarget);
HWY_EXPORT(ThisTargetLanes);

std::vector<int64_t> KernelTargets() {
  hwy::SetSupportedTargetsForTest(0);
  std::vector<int64_t> targets = hwy::SupportedAndGeneratedTargets();
  // The portable fallback is always generated, but Highway lists it only when nothing else runs.
  if (targets.empty() || targets.back() != HWY_STATIC_TARGET) targets.push_back(HWY_STATIC_TARGET);
  return targets;
}

std::string KernelTargetName(int64_t target) { return hwy::TargetName(target); }

int64_t CurrentKernelTarget() { return HWY_DYNAMIC_DISPATCH(ThisTarget)(); }

int64_t CurrentKernelLanes() { return HWY_DYNAMIC_DISPATCH(ThisTargetLanes)(); }

void ForceKernelTarget(int64_t target) { hwy::SetSupportedTargetsForTest(target); }

}  // namespace unswift
#endif  // HWY_ONCE
