// Blocks, packing and threads around lane_kernel.h.
#include "unswift/ops/cpu/lane_gemm.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "hwy/detect_targets.h"
#include "unswift/base/check.h"
#include "unswift/base/integers.h"
#include "unswift/ops/cpu/bf16_gemm.h"
#include "unswift/ops/cpu/lane_kernel.h"
#include "unswift/ops/cpu/scratch.h"
#include "unswift/ops/cpu/targets.h"

#if defined(UNSWIFT_BF16_UNITS)
namespace unswift {
namespace {

// One block of weights, the one that is packed meanwhile, and the sums take 3/4 MiB of a
// second-level cache of 1 MiB. An output's sum depends on the length of the blocks of k alone.
constexpr int64_t kMaxBlockRows = 128;
constexpr int64_t kMaxBlockWords = 512;
constexpr int64_t kMaxRows = 512;  // of activations that the weights pass by once
// Packed activations of those, in words: bounds the memory when k is large.
constexpr int64_t kMaxPackedWords = 16 << 20;
constexpr int64_t kStridePad = 16;  // rows of a power of two would fall into the same cache sets

constexpr int64_t kPanelRows = kPanelVectors * kLanes512;

const LaneKernel& KernelOf(DType weight, LaneProducts products) {
  if (products == LaneProducts::kBf16) return kLaneBf16Pairs;
  return weight == DType::kF32 ? kLaneF32 : weight == DType::kF16 ? kLaneF16 : kLaneBf16;
}

/// Activations in panels of kPanelRows: [panels][words][vectors][16].
struct LanePanels {
  uint32_t* data = nullptr;
  int64_t rows = 0, words = 0;
  int64_t num_panels() const { return CeilDiv(rows, kPanelRows); }
  int Vectors(int64_t panel) const {
    return static_cast<int>(
        std::min<int64_t>(kPanelVectors, CeilDiv(rows - panel * kPanelRows, kLanes512)));
  }
  uint32_t* At(int64_t panel, int64_t word) const {
    return data + panel * kPanelRows * words + word * Vectors(panel) * kLanes512;
  }
};

void PackActivations(ConstRows x, LaneProducts products, const LanePanels& out, ThreadPool& pool) {
  pool.ParallelForDynamic(CeilDiv(x.rows, kLanes512), [&](int64_t tile, int) {
    const int64_t begin = tile * kLanes512, panel = tile / kPanelVectors;
    const ConstRows rows = x.Slice(begin, std::min(kLanes512, x.rows - begin));
    const LaneTarget target{out.At(panel, 0) + tile % kPanelVectors * kLanes512,
                            out.Vectors(panel) * kLanes512, out.words};
    if (products == LaneProducts::kBf16) {
      PackBf16Lanes(rows, target);
    } else {
      PackFloatLanes(rows, target);
    }
  });
}

/// One block of weights, packed row by row: [row / 8][lines][8][16].
class PackedBlock {
 public:
  PackedBlock(const LaneKernel& kernel, uint32_t* memory) : kernel_(kernel), data_(memory) {}

  int64_t lines() const { return lines_; }
  int64_t row_groups() const { return CeilDiv(weight_.rows, kLaneWeightRows); }
  const uint32_t* RowGroup(int64_t group) const { return RowAt(group * kLaneWeightRows); }

  void Start(const MatrixView& weight) {
    weight_ = weight;
    row_bytes_ = weight.cols * BlockBytes(weight.dtype);
    lines_ = CeilDiv(row_bytes_, kernel_.line_bytes);
    next_row_ = 0;
  }
  void StartNothing() { Start({weight_.dtype, 0, 0, 0, nullptr}); }

  /// Up to `count` rows to be moved beside a multiplication of `lines` lines; they count as packed.
  LaneMoves Take(int64_t count, int64_t lines) {
    LaneMoves moves;
    if (row_bytes_ != lines * kernel_.line_bytes) return moves;
    moves.count =
        static_cast<int>(std::min({count, int64_t{kMaxLaneMoves}, weight_.rows - next_row_}));
    for (int i = 0; i < moves.count; ++i, ++next_row_) {
      moves.from[i] = weight_.row(next_row_);
      moves.to[i] = RowAt(next_row_);
    }
    moves.prefetch_bytes = moves.count * weight_.row_bytes;
    return moves;
  }
  /// Packs what was not taken.
  void Finish() {
    for (; next_row_ < weight_.rows; ++next_row_) PackRow(next_row_);
    for (int64_t row = weight_.rows; row < RoundUp(weight_.rows, kLaneWeightRows); ++row) {
      for (int64_t line = 0; line < lines_; ++line) {
        std::fill_n(RowAt(row) + line * kLaneWeightRows * kLineWords, kLineWords, 0u);
      }
    }
  }

 private:
  uint32_t* RowAt(int64_t row) const {
    return data_ + row / kLaneWeightRows * lines_ * kLaneWeightRows * kLineWords +
           row % kLaneWeightRows * kLineWords;
  }
  void PackRow(int64_t row) const {
    const std::byte* from = weight_.row(row);
    uint32_t* to = RowAt(row);
    int64_t left = row_bytes_;
    for (; left >= kernel_.line_bytes; left -= kernel_.line_bytes) {
      kernel_.move_line(from, to);
      from += kernel_.line_bytes;
      to += kLaneWeightRows * kLineWords;
    }
    if (left == 0) return;
    std::byte padded[kLineWords * sizeof(uint32_t)] = {};
    std::memcpy(padded, from, left);
    kernel_.move_line(padded, to);
  }

  const LaneKernel& kernel_;
  uint32_t* data_;
  MatrixView weight_;
  int64_t row_bytes_ = 0, lines_ = 0, next_row_ = 0;
};

struct LaneJob {
  const LaneKernel& kernel;
  const LanePanels& x;
  const MatrixView& weight;
  const float* bias;
  Rows y;
  bool accumulate;
  int64_t block_rows;   // of weights, a multiple of 16: Bf16Store reads as many rows of sums
  int64_t word_cols;    // columns of one word: 1, or 2 (bf16 products)
  int64_t block_words;  // of k, a multiple of kLineWords
  std::atomic<int64_t>& next_tile;

  int64_t num_tiles() const { return CeilDiv(weight.rows, block_rows); }
  int64_t num_blocks() const { return CeilDiv(weight.cols, block_words * word_cols); }
  MatrixView Block(int64_t tile, int64_t block) const {
    const int64_t row = tile * block_rows, cols = block_words * word_cols;
    return weight.Rows(row, std::min(block_rows, weight.rows - row))
        .Columns(block * cols, std::min(cols, weight.cols - block * cols));
  }
};

/// All panels x one block of weights, while `next` is packed.
void MultiplyBlock(const LaneJob& job, const PackedBlock& weights, int64_t block, PackedBlock& next,
                   float* sums, int64_t stride) {
  const int64_t panels = job.x.num_panels(), groups = weights.row_groups();
  const int64_t rows_per_call = CeilDiv(job.block_rows, panels * groups);
  for (int64_t panel = 0; panel < panels; ++panel) {
    const int vectors = job.x.Vectors(panel);
    const uint32_t* const x = job.x.At(panel, block * job.block_words);
    for (int64_t group = 0; group < groups; ++group) {
      const LaneOperands operands{weights.RowGroup(group),
                                  x,
                                  weights.lines(),
                                  block > 0,
                                  sums + group * kLaneWeightRows * stride + panel * kPanelRows,
                                  stride};
      job.kernel.multiply[vectors - 1](operands, next.Take(rows_per_call, weights.lines()));
    }
  }
  next.Finish();
}

/// Takes tiles of outputs until none is left; the next one early, for its weights to be packed.
void RunTiles(const LaneJob& job) {
  int64_t tile = job.next_tile.fetch_add(1);
  if (tile >= job.num_tiles()) return;
  const int64_t block_size = job.block_rows * job.block_words;
  auto* memory =
      reinterpret_cast<uint32_t*>(ThreadScratch(ScratchSlot::kPackedWeights, 2 * block_size));
  PackedBlock first(job.kernel, memory), second(job.kernel, memory + block_size);
  PackedBlock *weights = &first, *next = &second;
  const int64_t stride = RoundUp(job.x.rows, kLanes512) + kStridePad;
  float* const sums = ThreadScratch(ScratchSlot::kGemmSums, job.block_rows * stride);
  weights->Start(job.Block(tile, 0));
  weights->Finish();
  while (tile < job.num_tiles()) {
    const int64_t next_tile = job.next_tile.fetch_add(1);
    for (int64_t block = 0; block < job.num_blocks(); ++block) {
      if (block + 1 < job.num_blocks()) {
        next->Start(job.Block(tile, block + 1));
      } else if (next_tile < job.num_tiles()) {
        next->Start(job.Block(next_tile, 0));
      } else {
        next->StartNothing();
      }
      MultiplyBlock(job, *weights, block, *next, sums, stride);
      std::swap(weights, next);
    }
    const int64_t n = tile * job.block_rows, count = std::min(job.block_rows, job.weight.rows - n);
    Bf16Store(sums, stride, job.bias == nullptr ? nullptr : job.bias + n, job.accumulate,
              job.y.Columns(n, count));
    tile = next_tile;
  }
}

/// As many tiles for every thread: of five tiles one of two threads would get three.
int64_t BlockRows(int64_t weight_rows, int num_threads) {
  const int64_t tiles = RoundUp(CeilDiv(weight_rows, kMaxBlockRows), int64_t{num_threads});
  return RoundUp(CeilDiv(weight_rows, tiles), kLanes512);
}

}  // namespace

bool LaneMatMulTakes(DType weight, LaneProducts products) {
  if (CurrentKernelTarget() != HWY_AVX3 || UsesAmx()) return false;
  if (products == LaneProducts::kFloat32) return IsFloat(weight);
  return weight == DType::kBF16 && CurrentBf16Unit() == Bf16Unit::kDot;
}

void LaneMatMul(ConstRows x, const MatrixView& weight, const float* bias, Rows y, ThreadPool& pool,
                bool accumulate, LaneProducts products) {
  const int64_t word_cols = products == LaneProducts::kBf16 ? 2 : 1;
  LanePanels panels;
  panels.words = RoundUp(CeilDiv(weight.cols, word_cols), kLineWords);
  const int64_t num_blocks = CeilDiv(panels.words, kMaxBlockWords);
  const int64_t block_words = RoundUp(CeilDiv(panels.words, num_blocks), kLineWords);
  // As few passes of the weights as that bound allows, of about as many rows each.
  const int64_t max_rows = std::clamp(kMaxPackedWords / panels.words, kPanelRows, kMaxRows);
  const int64_t passes = std::max<int64_t>(CeilDiv(x.rows, max_rows), 1);
  const int64_t pass_rows = RoundUp(CeilDiv(x.rows, passes), kLanes512);
  for (int64_t m = 0; m < x.rows; m += pass_rows) {
    panels.rows = std::min(pass_rows, x.rows - m);
    panels.data = reinterpret_cast<uint32_t*>(ThreadScratch(
        ScratchSlot::kPackedActivations, RoundUp(panels.rows, kLanes512) * panels.words));
    PackActivations(x.Slice(m, panels.rows), products, panels, pool);
    std::atomic<int64_t> next_tile{0};
    const LaneJob job{KernelOf(weight.dtype, products),
                      panels,
                      weight,
                      bias,
                      y.Slice(m, panels.rows),
                      accumulate,
                      BlockRows(weight.rows, pool.num_threads()),
                      word_cols,
                      block_words,
                      next_tile};
    pool.RunOnAll([&](int) { RunTiles(job); });
  }
}

}  // namespace unswift

#else  // another architecture or compiler

namespace unswift {

bool LaneMatMulTakes(DType, LaneProducts) { return false; }
void LaneMatMul(ConstRows, const MatrixView&, const float*, Rows, ThreadPool&, bool, LaneProducts) {
  UNSWIFT_CHECK(false);
}

}  // namespace unswift
#endif
