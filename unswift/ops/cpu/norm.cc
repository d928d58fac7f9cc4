#include "unswift/ops/norm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unswift/ops/cpu/norm-inl.h"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "unswift/ops/cpu/norm-inl.h"

#if HWY_ONCE
#include "unswift/base/check.h"
#include "unswift/ops/cpu/partition.h"

namespace unswift {

HWY_EXPORT(RmsNormRow);
HWY_EXPORT(LayerNormRow);

void RmsNorm(ConstRows x, std::span<const float> weight, float eps, Rows y, ThreadPool& pool) {
  UNSWIFT_CHECK(x.rows == y.rows && x.cols == y.cols && weight.size() == x.cols);
  ForEachRow(x.rows, x.cols, pool, [&](int64_t r) {
    HWY_DYNAMIC_DISPATCH(RmsNormRow)
    (x.row(r).data(), weight.data(), eps, y.row(r).data(), x.cols);
  });
}

void LayerNorm(ConstRows x, std::span<const float> weight, std::span<const float> bias, float eps,
               Rows y, ThreadPool& pool) {
  UNSWIFT_CHECK(x.rows == y.rows && x.cols == y.cols);
  UNSWIFT_CHECK(weight.size() == x.cols && bias.size() == x.cols);
  ForEachRow(x.rows, x.cols, pool, [&](int64_t r) {
    HWY_DYNAMIC_DISPATCH(LayerNormRow)
    (x.row(r).data(), weight.data(), bias.data(), eps, y.row(r).data(), x.cols);
  });
}

}  // namespace unswift
#endif  // HWY_ONCE
