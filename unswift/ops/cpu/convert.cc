#include "unswift/ops/convert.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unswift/ops/cpu/convert-inl.h"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "unswift/ops/cpu/convert-inl.h"

#if HWY_ONCE
#include "unswift/base/check.h"

namespace unswift {

HWY_EXPORT(RowToF32Kernel);
HWY_EXPORT(RowFromF32Kernel);
HWY_EXPORT(AllFiniteKernel);

void FastRowToF32(DType dtype, const std::byte* row, std::span<float> out) {
  if (out.empty()) return;  // its pointers may be null
  HWY_DYNAMIC_DISPATCH(RowToF32Kernel)(dtype, row, out.data(), static_cast<int64_t>(out.size()));
}

void FastRowFromF32(DType dtype, std::span<const float> row, std::byte* out) {
  if (row.empty()) return;
  HWY_DYNAMIC_DISPATCH(RowFromF32Kernel)
  (dtype, row.data(), static_cast<int64_t>(row.size()), out);
}

bool AllFinite(DType dtype, const std::byte* data, int64_t count) {
  UNSWIFT_CHECK(IsFloat(dtype));
  return count == 0 || HWY_DYNAMIC_DISPATCH(AllFiniteKernel)(dtype, data, count);
}

}  // namespace unswift
#endif  // HWY_ONCE
