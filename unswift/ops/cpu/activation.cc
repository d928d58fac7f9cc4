#include "unswift/ops/activation.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unswift/ops/cpu/activation-inl.h"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "unswift/ops/cpu/activation-inl.h"

#if HWY_ONCE
#include "unswift/base/check.h"
#include "unswift/ops/cpu/partition.h"

namespace unswift {

HWY_EXPORT(ActivationRow);
HWY_EXPORT(SoftCapRow);

void GatedActivation(Activation activation, ConstRows gate, ConstRows up, Rows y,
                     ThreadPool& pool) {
  UNSWIFT_CHECK(gate.rows == y.rows && up.rows == y.rows);
  UNSWIFT_CHECK(gate.cols == y.cols && up.cols == y.cols);
  ForEachRowPiece(y.rows, y.cols, pool, [&](int64_t r, int64_t begin, int64_t count) {
    HWY_DYNAMIC_DISPATCH(ActivationRow)
    (activation, gate.row(r).data() + begin, up.row(r).data() + begin, y.row(r).data() + begin,
     count);
  });
}

void PlainActivation(Activation activation, ConstRows x, Rows y, ThreadPool& pool) {
  UNSWIFT_CHECK(x.rows == y.rows && x.cols == y.cols);
  ForEachRowPiece(y.rows, y.cols, pool, [&](int64_t r, int64_t begin, int64_t count) {
    HWY_DYNAMIC_DISPATCH(ActivationRow)
    (activation, x.row(r).data() + begin, nullptr, y.row(r).data() + begin, count);
  });
}

void SoftCap(Rows x, float cap, ThreadPool& pool) {
  UNSWIFT_CHECK(cap > 0.0f);
  ForEachRowPiece(x.rows, x.cols, pool, [&](int64_t r, int64_t begin, int64_t count) {
    HWY_DYNAMIC_DISPATCH(SoftCapRow)(x.row(r).data() + begin, count, cap);
  });
}

}  // namespace unswift
#endif  // HWY_ONCE
