#include "unswift/ops/cpu/packed_matmul.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unswift/ops/cpu/packed_matmul-inl.h"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "unswift/ops/cpu/packed_matmul-inl.h"

#if HWY_ONCE
#include <algorithm>
#include <atomic>
#include <vector>

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

/// Cuts every output's groups of weights into as many ranges as there are threads, so that each
/// meets the same weights in every call, in long streams: range(output, begin, end).
template <typename Range>
void ForGroupRanges(std::span<const MatMulOutput> outputs, ConstRows x, ThreadPool& pool,
                    const Range& range) {
  const int64_t work_per_group = std::max<int64_t>(x.cols * x.rows * kPackedRows, 1);
  const int64_t grain = std::max<int64_t>(kMinWorkPerThread / work_per_group, 1);
  pool.ParallelForEach(
      std::ssize(outputs), [&](int64_t i) { return CeilDiv(outputs[i].weight.rows, kPackedRows); },
      grain, range);
}

void FloatMatMul(std::span<const MatMulOutput> outputs, ConstRows x, bool accumulate,
                 ThreadPool& pool) {
  const int64_t x_stride = RoundUp(x.cols, kQuantBlockSize);
  float* const laid_out = ThreadScratch(ScratchSlot::kActivations, x.rows * x_stride);
  for (int64_t i = 0; i < x.rows; ++i) {
    PadRow(x.row(i).data(), x.cols, laid_out + i * x_stride, x_stride);
  }
  ForGroupRanges(outputs, x, pool, [&](int64_t i, int64_t begin, int64_t end) {
    const auto& [weight, bias, y] = outputs[i];
    const SkinnyMatMul op{laid_out, x_stride, weight, bias, y, accumulate, CurrentWeightReads()};
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
void VnniMatMul(std::span<const MatMulOutput> outputs, ConstRows x, bool accumulate,
                ThreadPool& pool) {
  const int64_t panel_rows = std::min(VnniPanelRows(x.cols), x.rows);
  const int64_t panels = CeilDiv(x.rows, panel_rows);
  const int64_t panel_floats = VnniPanelFloats(panel_rows, x.cols);
  float* const laid_out = ThreadScratch(ScratchSlot::kActivations, panels * panel_floats);
  LayOutPanels(outputs[0].weight.dtype, x, panel_rows, laid_out, pool);
  const auto multiply = [&](int64_t i, int64_t panel, int64_t begin, int64_t end) {
    const auto& [weight, bias, y] = outputs[i];
    const int64_t first = panel * panel_rows;
    const Rows rows = y.Slice(first, std::min(panel_rows, x.rows - first));
    const SkinnyMatMul op{
        laid_out + panel * panel_floats, 0, weight, bias, rows, accumulate, CurrentWeightReads()};
    VnniPackedRange(op, begin, end);
  };
  if (x.rows <= kSkinnyRows) {
    return ForGroupRanges(outputs, x, pool, [&](int64_t i, int64_t begin, int64_t end) {
      multiply(i, 0, begin, end);
    });
  }
  const auto groups = [&](int64_t i) { return CeilDiv(outputs[i].weight.rows, kPackedRows); };
  int64_t pieces = 0;  // of a panel
  for (int64_t i = 0; i < std::ssize(outputs); ++i) pieces += CeilDiv(groups(i), kGroupsPerPiece);
  pool.ParallelForDynamic(panels * pieces, [&](int64_t item, int) {
    int64_t i = 0, begin = item % pieces * kGroupsPerPiece;
    for (; begin >= groups(i); ++i) begin -= RoundUp(groups(i), kGroupsPerPiece);
    multiply(i, item / pieces, begin, std::min(begin + kGroupsPerPiece, groups(i)));
  });
}

}  // namespace

bool PackedKernelUsesVnni() {
  return HasVnni() && vnni_allowed.load(std::memory_order_relaxed) &&
         CurrentKernelTarget() == HWY_AVX3;
}

void AllowVnniForTest(bool allowed) { vnni_allowed = allowed; }

void PackedMatMul(ConstRows x, std::span<const MatMulOutput> outputs, ThreadPool& pool,
                  bool accumulate) {
  const auto multiply = PackedKernelUsesVnni() ? VnniMatMul : FloatMatMul;
  if (x.rows <= kMaxLaidOutRows) return multiply(outputs, x, accumulate, pool);
  for (int64_t m = 0; m < x.rows; m += kMaxLaidOutRows) {
    const int64_t count = std::min(kMaxLaidOutRows, x.rows - m);
    std::vector<MatMulOutput> part(outputs.begin(), outputs.end());
    for (MatMulOutput& output : part) output.y = output.y.Slice(m, count);
    multiply(part, x.Slice(m, count), accumulate, pool);
  }
}

}  // namespace unswift
#endif  // HWY_ONCE
