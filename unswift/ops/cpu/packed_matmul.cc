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
#include "unswift/ops/cpu/partition.h"
#include "unswift/ops/cpu/scratch.h"
#include "unswift/ops/cpu/targets.h"
#include "unswift/ops/matmul.h"

namespace unswift {

HWY_EXPORT(PackedRange);

namespace {

// Below this many multiply-adds, waking a thread costs more than it saves.
constexpr int64_t kMinWorkPerThread = 1 << 16;
// Many rows: what a thread takes at a time, and activations that are laid out at once.
constexpr int64_t kGroupsPerPiece = 4;
constexpr int64_t kMaxLaidOutRows = 512;

std::atomic<bool> vnni_allowed{true};

/// A zero-padded copy: what the float kernel reads.
void PadRow(const float* x, int64_t k, float* out, int64_t padded) {
  std::copy_n(x, k, out);
  std::fill(out + k, out + padded, 0.0f);
}

void FloatMatMul(const SkinnyMatMul& call, ConstRows x, ThreadPool& pool) {
  SkinnyMatMul op = call;
  op.x_stride = RoundUp(x.cols, kQuantBlockSize);
  float* const laid_out = ThreadScratch(ScratchSlot::kActivations, x.rows * op.x_stride);
  for (int64_t i = 0; i < x.rows; ++i) {
    PadRow(x.row(i).data(), x.cols, laid_out + i * op.x_stride, op.x_stride);
  }
  op.x = laid_out;
  const int64_t work_per_group = std::max<int64_t>(x.cols * x.rows * kPackedRows, 1);
  const int64_t grain = std::max<int64_t>(kMinWorkPerThread / work_per_group, 1);
  pool.ParallelFor(CeilDiv(op.weight.rows, kPackedRows), grain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(PackedRange)(op, begin, end);
  });
}

/// Lays out x in panels of panel_rows.
void LayOutPanels(DType dtype, ConstRows x, int64_t panel_rows, float* out, ThreadPool& pool) {
  const int64_t panel_floats = VnniPanelFloats(panel_rows, x.cols);
  ForEachRow(x.rows, x.cols, pool, [&](int64_t row) {
    const int64_t panel = row / panel_rows, first = panel * panel_rows;
    VnniLayOutRow(dtype, x.Slice(first, std::min(panel_rows, x.rows - first)), row - first,
                  out + panel * panel_floats);
  });
}

/// Up to kMaxLaidOutRows rows.
void VnniMatMul(const SkinnyMatMul& call, ConstRows x, ThreadPool& pool) {
  const int64_t panel_rows = std::min(VnniPanelRows(x.cols), x.rows);
  const int64_t panels = CeilDiv(x.rows, panel_rows);
  const int64_t panel_floats = VnniPanelFloats(panel_rows, x.cols);
  float* const laid_out = ThreadScratch(ScratchSlot::kActivations, panels * panel_floats);
  LayOutPanels(call.weight.dtype, x, panel_rows, laid_out, pool);
  const auto multiply = [&](int64_t panel, int64_t begin, int64_t end) {
    SkinnyMatMul op = call;
    const int64_t first = panel * panel_rows;
    op.x = laid_out + panel * panel_floats;
    op.y = call.y.Slice(first, std::min(panel_rows, x.rows - first));
    VnniPackedRange(op, begin, end);
  };
  const int64_t groups = CeilDiv(call.weight.rows, kPackedRows);
  if (x.rows <= kSkinnyRows) {  // each thread the same weights as in other calls, in long streams
    const int64_t work_per_group = std::max<int64_t>(x.cols * x.rows * kPackedRows, 1);
    const int64_t grain = std::max<int64_t>(kMinWorkPerThread / work_per_group, 1);
    pool.ParallelFor(groups, grain, [&](int64_t begin, int64_t end) { multiply(0, begin, end); });
    return;
  }
  const int64_t pieces = CeilDiv(groups, kGroupsPerPiece);
  pool.ParallelForDynamic(panels * pieces, [&](int64_t item, int) {
    const int64_t begin = item % pieces * kGroupsPerPiece;
    multiply(item / pieces, begin, std::min(begin + kGroupsPerPiece, groups));
  });
}

}  // namespace

bool PackedKernelUsesVnni() {
  return HasVnni() && vnni_allowed.load(std::memory_order_relaxed) &&
         CurrentKernelTarget() == HWY_AVX3;
}

void AllowVnniForTest(bool allowed) { vnni_allowed = allowed; }

void PackedMatMul(ConstRows x, const MatrixView& weight, const float* bias, Rows y,
                  ThreadPool& pool, bool accumulate) {
  const bool vnni = PackedKernelUsesVnni();
  for (int64_t m = 0; m < x.rows; m += kMaxLaidOutRows) {
    const int64_t count = std::min(kMaxLaidOutRows, x.rows - m);
    const SkinnyMatMul op{
        nullptr, 0, weight, bias, y.Slice(m, count), accumulate, CurrentWeightReads()};
    (vnni ? VnniMatMul : FloatMatMul)(op, x.Slice(m, count), pool);
  }
}

}  // namespace unswift
#endif  // HWY_ONCE
