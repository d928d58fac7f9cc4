// The streaming matmul: few activation rows, weights read once. Compiled once per Highway target.
//
// Every output is one vector sum over k in order, reduced at the end; the blocking only chooses
// which outputs share a pass. So a row's result depends neither on how many rows stand beside it
// nor on the number of threads.
#include "unswift/ops/cpu/matmul_kernel.h"
#include "unswift/ops/cpu/scratch.h"
#include "unswift/ops/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unswift {
namespace HWY_NAMESPACE {

constexpr int64_t kChunk = 2 * kLanes;
// A tile of kRows x kCols outputs holds that many accumulators; 32 (AVX-512, NEON) or 16 registers.
// Of 32, 16 accumulators leave room for the activations, which all rows then share; with 24, each
// row loads them again, and 16 or 32 activation rows take a sixth longer.
constexpr bool kManyRegisters = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON;
constexpr int kMaxTileCols = kManyRegisters ? 4 : 3;
constexpr int kMaxTileColsOf8Rows = kManyRegisters ? 3 : 1;

/// How a pass reads kRows streams of weights: kChunks chunks of one, then of the next, the chunks
/// kAheadBytes further on prefetched, which hides the memory's latency (0: left to the processor).
template <int kRows_, int kChunks_, int kAheadBytes_>
struct Reading {
  static constexpr int kRows = kRows_, kChunks = kChunks_, kAheadBytes = kAheadBytes_;
};
using ManyRowsReading = Reading<4, 2, 1024>;

// One activation row. WeightReads::kFar: two streams where a row is neither so short that it ends
// before their latency is hidden nor so long that a first-level cache has lost the activations
// when the next streams come. A core of a Zen 5 decodes SmolLM2 (hidden size 576) with 121 instead
// of 110 tokens/s, a 1B shape's release of order 30 with 4.65 instead of 4.26.
constexpr int64_t kFarShortRow = 1600, kFarLongRow = 64 << 10;
using FarReading = Reading<2, 2, 2048>;
using FarWideReading = Reading<4, 2, 2048>;
using NearReading = Reading<8, 2, 1024>;
// kPlain: a core of a Zen 4 reads bf16 1.1 times as fast as by FarReading. Its first-level cache
// keeps fewer activations: with 8,192 columns four streams are 1.2 times as fast, eight 1.4 times.
// Prefetched lines beyond 2 KB in all streams slow it down: they seem to take the buffers that the
// processor's own would have.
constexpr int64_t kPlainLongRow = 2048;
template <class W>
constexpr int kPlainChunks = HWY_MIN(4, HWY_MAX(1, static_cast<int>(256 / (kChunk * W::kBytes))));
template <class W>
using PlainReading = Reading<4, kPlainChunks<W>, 0>;
template <class W>
using PlainWideReading = Reading<8, kPlainChunks<W>, 0>;

/// The rows that one pass reads side by side. They lie far apart, each the head of a stream of its
/// own: hardware prefetchers follow a stream within a page, so 8 streams keep 8 pages in flight.
/// How many are best depends on the processor: one core of a Sapphire Rapids reads 16.5 GB/s from 8
/// streams and 9.5 from neighbouring rows; two of a Zen 5, where streams that are a power of two
/// apart meet in the same cache sets, 43 from 8 and 51 from 4.
template <int kRows>
struct RowStreams {
  int64_t begin, end, distance;

  RowStreams(int64_t begin, int64_t end)
      : begin(begin), end(end), distance((end - begin + kRows - 1) / kRows) {}
  HWY_INLINE int64_t Row(int64_t pass, int r) const { return begin + pass + r * distance; }
};

/// A part of k. The sums go on where those of the part before ended, so that parts do not show in
/// the result; all but the last are multiples of 2 kChunk.
struct Segment {
  int64_t begin, end;
  float* sums;  // the vectors of a tile between two parts
};

/// y[., rows of this pass] for kCols activation rows from m_begin on.
template <class W, class R, int kCols>
HWY_NOINLINE void DotTile(const SkinnyMatMul& op, const RowStreams<R::kRows>& streams, int64_t pass,
                          int64_t m_begin, const Segment& segment) {
  constexpr int kRows = R::kRows;
  const std::byte* w[kRows];
  for (int r = 0; r < kRows; ++r) {  // streams that have ended repeat the last row, unused
    w[r] = op.weight.row(HWY_MIN(streams.Row(pass, r), streams.end - 1));
  }
  const float* HWY_RESTRICT x = op.x + m_begin * op.x_stride;
  F32Vec acc[kRows][kCols];
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < kCols; ++c) {
      acc[r][c] = segment.begin == 0 ? hn::Zero(F32Tag())
                                     : hn::Load(F32Tag(), segment.sums + (r * kCols + c) * kLanes);
    }
  }
  const auto add = [&](int r, const std::byte* chunk, const float* from) HWY_ATTR {
    F32Vec a, b;
    W::LoadChunk(chunk, a, b);
    HWY_UNROLL(8)
    for (int c = 0; c < kCols; ++c) {
      acc[r][c] = hn::MulAdd(a, hn::Load(F32Tag(), from + c * op.x_stride), acc[r][c]);
      acc[r][c] = hn::MulAdd(b, hn::Load(F32Tag(), from + c * op.x_stride + kLanes), acc[r][c]);
    }
  };

  const int64_t k = segment.end;
  int64_t i = segment.begin;
  for (; i + R::kChunks * kChunk <= k; i += R::kChunks * kChunk) {
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      const std::byte* from = w[r] + i * W::kBytes;
      HWY_UNROLL(4)
      for (int c = 0; R::kAheadBytes > 0 && c < R::kChunks; ++c) {
        hwy::Prefetch(from + R::kAheadBytes + c * kChunk * W::kBytes);
      }
      HWY_UNROLL(4)
      for (int c = 0; c < R::kChunks; ++c) {
        add(r, from + c * kChunk * W::kBytes, x + i + c * kChunk);
      }
    }
  }
  if (k < op.weight.cols) {
    for (int r = 0; r < kRows; ++r) {
      for (int c = 0; c < kCols; ++c) {
        hn::Store(acc[r][c], F32Tag(), segment.sums + (r * kCols + c) * kLanes);
      }
    }
    return;
  }
  for (; i + kChunk <= k; i += kChunk) {
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) add(r, w[r] + i * W::kBytes, x + i);
  }
  if (i < k) {  // the activations are zero-padded, the weights are not
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      std::byte padded[kChunk * W::kBytes] = {};
      std::memcpy(padded, w[r] + i * W::kBytes, (k - i) * W::kBytes);
      add(r, padded, x + i);
    }
  }
  for (int r = 0; r < kRows && streams.Row(pass, r) < streams.end; ++r) {
    const int64_t n = streams.Row(pass, r);
    const float bias = op.bias == nullptr ? 0.0f : op.bias[n];
    for (int c = 0; c < kCols; ++c) {
      float* y = op.y.data + (m_begin + c) * op.y.stride + n;
      const float sum = Sum(acc[r][c]) + bias;
      *y = op.accumulate ? *y + sum : sum;
    }
  }
}

using DotTileFunction = void (*)(const SkinnyMatMul&, const RowStreams<ManyRowsReading::kRows>&,
                                 int64_t, int64_t, const Segment&);

/// The tile function for 1 to kMaxTileCols activation rows.
template <class W>
DotTileFunction DotTileOf(int64_t cols) {
  static constexpr DotTileFunction kTiles[] = {
      DotTile<W, ManyRowsReading, 1>,
      DotTile<W, ManyRowsReading, 2>,
      DotTile<W, ManyRowsReading, 3>,
      DotTile<W, ManyRowsReading, kMaxTileCols>,
  };
  return kTiles[HWY_MIN(cols, int64_t{kMaxTileCols}) - 1];
}

/// All activation rows in one tile of R::kRows weight rows.
template <class W, class R, int kCols>
void SinglePassRange(const SkinnyMatMul& op, int64_t n_begin, int64_t n_end) {
  const RowStreams<R::kRows> streams(n_begin, n_end);
  for (int64_t pass = 0; pass < streams.distance; ++pass) {
    DotTile<W, R, kCols>(op, streams, pass, 0, {0, op.weight.cols, nullptr});
  }
}

/// One activation row.
template <class W>
void SingleRowRange(const SkinnyMatMul& op, int64_t n_begin, int64_t n_end) {
  const int64_t k = op.weight.cols;
  if (op.reads == WeightReads::kNear) return SinglePassRange<W, NearReading, 1>(op, n_begin, n_end);
  if (op.reads == WeightReads::kPlain) {
    if (k <= kPlainLongRow) return SinglePassRange<W, PlainReading<W>, 1>(op, n_begin, n_end);
    return SinglePassRange<W, PlainWideReading<W>, 1>(op, n_begin, n_end);
  }
  const bool suits_two = kFarShortRow <= k && k < kFarLongRow;
  if (suits_two) return SinglePassRange<W, FarReading, 1>(op, n_begin, n_end);
  SinglePassRange<W, FarWideReading, 1>(op, n_begin, n_end);
}

// Parts of k for many long activation rows; 8192 columns of 16 rows are half a MiB.
constexpr int64_t kMaxActivations = 128 << 10;  // floats that need no parts
constexpr int64_t kSegmentCols = 4096;
constexpr int64_t kSegmentPasses = 32;

template <class W>
void SkinnyRangeOf(const SkinnyMatMul& op, int64_t n_begin, int64_t n_end) {
  const int64_t m = op.y.rows;
  if (m == 1) return SingleRowRange<W>(op, n_begin, n_end);
  if (op.reads == WeightReads::kNear && m <= kMaxTileColsOf8Rows) {
    constexpr int kTwo = HWY_MIN(2, kMaxTileColsOf8Rows);
    if (m == 2) return SinglePassRange<W, NearReading, kTwo>(op, n_begin, n_end);
    return SinglePassRange<W, NearReading, kMaxTileColsOf8Rows>(op, n_begin, n_end);
  }
  const RowStreams<ManyRowsReading::kRows> streams(n_begin, n_end);
  // One part, or as much of many long activation rows as stays in a second-level cache while some
  // weight rows pass by.
  const bool in_parts = m > kMaxTileCols && m * op.x_stride > kMaxActivations;
  const int64_t length = in_parts ? kSegmentCols : HWY_MAX(op.weight.cols, int64_t{1});
  const int64_t passes = in_parts ? kSegmentPasses : 1;
  const int64_t tile_sums = 4 * kMaxTileCols * kLanes;
  const int64_t tiles = (m + kMaxTileCols - 1) / kMaxTileCols;
  float* const sums =
      in_parts ? ThreadScratch(ScratchSlot::kGemmSums, passes * tiles * tile_sums) : nullptr;
  for (int64_t first = 0; first < streams.distance; first += passes) {
    const int64_t last = HWY_MIN(first + passes, streams.distance);
    for (int64_t k = 0; k == 0 || k < op.weight.cols; k += length) {
      const int64_t end = HWY_MIN(k + length, op.weight.cols);
      for (int64_t pass = first; pass < last; ++pass) {
        for (int64_t tile = 0; tile < tiles; ++tile) {  // later tiles find the four rows in cache
          const int64_t i = tile * m / tiles;
          float* const of_tile =
              in_parts ? sums + ((pass - first) * tiles + tile) * tile_sums : nullptr;
          DotTileOf<W>((tile + 1) * m / tiles - i)(op, streams, pass, i, {k, end, of_tile});
        }
      }
    }
  }
}

void SkinnyRange(const SkinnyMatMul& op, int64_t n_begin, int64_t n_end) {
  switch (op.weight.dtype) {
    case DType::kF32:
      return SkinnyRangeOf<F32Storage>(op, n_begin, n_end);
    case DType::kF16:
      return SkinnyRangeOf<F16Storage>(op, n_begin, n_end);
    default:
      return SkinnyRangeOf<BF16Storage>(op, n_begin, n_end);
  }
}

int64_t ActivationChunk() { return kChunk; }

/// One row in the order the kernel wants: chunks of natural order, or evens then odds (bf16).
void LayOutRow(DType dtype, const float* x, int64_t k, float* out) {
  const int64_t whole = k / kChunk * kChunk;
  const bool deinterleave = dtype == DType::kBF16;
  HWY_ALIGN float padded[kChunk] = {};
  std::memcpy(padded, x + whole, (k - whole) * sizeof(float));
  for (int64_t i = 0; i < k; i += kChunk) {
    const float* from = i < whole ? x + i : padded;
    F32Vec a, b;
    if (deinterleave) {
      hn::LoadInterleaved2(F32Tag(), from, a, b);
    } else {
      a = LoadFloats(from);
      b = LoadFloats(from + kLanes);
    }
    hn::Store(a, F32Tag(), out + i);
    hn::Store(b, F32Tag(), out + i + kLanes);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace unswift
HWY_AFTER_NAMESPACE();
