// What a target says of itself. Compiled once per Highway target.
#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace unswift {
namespace HWY_NAMESPACE {

int64_t ThisTarget() { return HWY_TARGET; }
int64_t ThisTargetLanes() {
  return static_cast<int64_t>(hwy::HWY_NAMESPACE::Lanes(hwy::HWY_NAMESPACE::ScalableTag<float>()));
}

}  // namespace HWY_NAMESPACE
}  // namespace unswift
HWY_AFTER_NAMESPACE();
