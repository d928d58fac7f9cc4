#include "unswift/ops/cpu/packed_matmul.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unswift/ops/cpu/packed_matmul-inl.h"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "unswift/ops/cpu/packed_matmul-inl.h"

#if HWY_ONCE
#include <algorithm>
#include <atomic>

#include "unswift/base/integers.h"
#include "unswift/ops/cpu/packed_vnni.h"
#include "unswift/ops/cpu/scratch.h"
#include "unswift/ops/cpu/targets.h"

namespace unswift {

HWY_EXPORT(PackedRange);

namespace {

// Below this many multiply-adds, waking a thread costs more than it saves.
constexpr int64_t kMinWorkPerThread = 1 << 16;

std::atomic<bool> vnni_allowed{true};

/// A zero-padded copy: what the float kernel reads.
void PadRow(const float* x, int64_t k, float* out, int64_t padded) {
  std::copy_n(x, k, out);
  std::fill(out + k, out + padded, 0.0f);
}

}  // namespace

bool PackedKernelUsesVnni() {
  return HasVnni() && vnni_allowed.load(std::memory_order_relaxed) &&
         CurrentKernelTarget() == HWY_AVX3;
}

void AllowVnniForTest(bool allowed) { vnni_allowed = allowed; }

void PackedStreamingMatMul(ConstRows x, const MatrixView& weight, const float* bias, Rows y,
                           ThreadPool& pool, bool accumulate) {
  const int64_t k = weight.cols;
  const bool vnni = PackedKernelUsesVnni();
  const int64_t padded = RoundUp(k, kQuantBlockSize);
  const int64_t x_stride = vnni ? VnniRowFloats(k) : padded;
  float* laid_out = ThreadScratch(ScratchSlot::kActivations, x.rows * x_stride);
  for (int64_t i = 0; i < x.rows; ++i) {
    float* const to = laid_out + i * x_stride;
    if (vnni) {
      VnniLayOutRow(weight.dtype, x.row(i).data(), k, to);
    } else {
      PadRow(x.row(i).data(), k, to, padded);
    }
  }
  const SkinnyMatMul op{laid_out, x_stride, weight, bias, y, accumulate};
  const int64_t groups = (weight.rows + kPackedRows - 1) / kPackedRows;
  const int64_t work_per_group = std::max<int64_t>(k * x.rows * kPackedRows, 1);
  const int64_t grain = std::max<int64_t>(kMinWorkPerThread / work_per_group, 1);
  pool.ParallelFor(groups, grain, [&](int64_t begin, int64_t end) {
    if (vnni) {
      VnniPackedRange(op, begin, end);
    } else {
      HWY_DYNAMIC_DISPATCH(PackedRange)(op, begin, end);
    }
  });
}

}  // namespace unswift
#endif  // HWY_ONCE
