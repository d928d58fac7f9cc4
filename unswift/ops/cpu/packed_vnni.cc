// An activation is s (128 hi + lo), two signed bytes, s one float32 per block of 32. A lane is a
// row of weights; vpdpbusd adds four products (unsigned weight byte x signed activation byte) to
// each lane's int32, exactly: 32 x 255 x 127 x 128 stays below 2^31. That the weight bytes are
// stored with an offset is corrected by the block's sum of activations, in integers, too. So the
// only roundings are those of the activations and one multiply-add per block of 32.
#include "unswift/ops/cpu/packed_vnni.h"
#include "unswift/base/integers.h"

#include "unswift/base/check.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "unswift/ops/cpu/scratch.h"
#include "unswift/tensor/packed.h"

// Of each function here, not of the file: nothing inline that others share may need such a CPU.
#define UNSWIFT_VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))
#define UNSWIFT_VNNI_INLINE UNSWIFT_VNNI static inline __attribute__((always_inline))

namespace unswift {
namespace {

constexpr int kParts = 8;  // of 64 weight bytes: 16 rows x 4 columns
constexpr int64_t kBlockFloats = 2 * kQuantBlockSize / static_cast<int64_t>(sizeof(float));
constexpr int kMaxCols = 8;           // activation rows of one pass
constexpr int kPrefetchBytes = 4096;  // ahead in each stream, more than one activation row
constexpr int64_t kScaleBytes = 2 * kPackedRows;

/// Laid out rows, block after block, and in each row after row: 64 bytes (32 hi, 32 lo) each, then
/// all scales s, then what the offsets of the weight bytes are worth.
struct Panel {
  const float* quants;
  const float* scales;
  const int32_t* corrections;

  Panel(const float* x, int64_t rows, int64_t blocks)
      : quants(x),
        scales(x + rows * blocks * kBlockFloats),
        corrections(reinterpret_cast<const int32_t*>(scales + rows * blocks)) {}
};

// kStreams and kPrefetchBytes are those of a single activation row, by measurement on a Zen 5: q8_0
// reads 7 % faster from 2 streams than from 4, q4_0 does not. A core of a Zen 4 reads 1.15 (q8_0)
// and 1.25 times (q4_0) as fast from kPlainStreams without any prefetch as from those; eight are as
// fast for long rows and slower for short ones.
constexpr int kPlainStreams = 4;

struct Q8 {
  static constexpr int64_t kTileBytes = 544;
  static constexpr int kStreams = 2, kPrefetchBytes = 2048;
  UNSWIFT_VNNI_INLINE void Load(const std::byte* tile, __m512i (&w)[kParts]) {
    for (int v = 0; v < kParts; ++v) w[v] = _mm512_loadu_si512(tile + kScaleBytes + 64 * v);
  }
};

struct Q4 {
  static constexpr int64_t kTileBytes = 288;
  static constexpr int kStreams = 4, kPrefetchBytes = 4096;
  UNSWIFT_VNNI_INLINE void Load(const std::byte* tile, __m512i (&w)[kParts]) {
    const __m512i low = _mm512_set1_epi8(15);
    for (int v = 0; v < kParts; v += 2) {
      const __m512i packed = _mm512_loadu_si512(tile + kScaleBytes + 32 * v);
      w[v] = _mm512_and_si512(packed, low);
      w[v + 1] = _mm512_and_si512(_mm512_srli_epi16(packed, 4), low);
    }
  }
};

UNSWIFT_VNNI_INLINE __m512i Broadcast(float four_activations) {
  return _mm512_castps_si512(_mm512_set1_ps(four_activations));
}

/// The integer sums of one block to floats, added to sum. scale: of the activations.
UNSWIFT_VNNI_INLINE __m512 AddExact(__m512i high, __m512i low, __m512 weight_scales, float scale,
                                    __m512 sum) {
  const __m512i exact = _mm512_add_epi32(_mm512_slli_epi32(high, 7), low);
  const __m512 scales = _mm512_mul_ps(weight_scales, _mm512_set1_ps(scale));
  return _mm512_fmadd_ps(_mm512_cvtepi32_ps(exact), scales, sum);
}

UNSWIFT_VNNI_INLINE __m512 WeightScales(const std::byte* tile) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(tile)));
}

/// 16 rows x one block of one activation row (index: of both in the panel), added to sum.
UNSWIFT_VNNI_INLINE __m512 AddBlock(const __m512i (&w)[kParts], __m512 weight_scales,
                                    const Panel& x, int64_t index, __m512 sum) {
  const float* const quants = x.quants + index * kBlockFloats;
  __m512i high = _mm512_setzero_si512();
  __m512i low = _mm512_set1_epi32(x.corrections[index]);
  for (int v = 0; v < kParts; ++v) {  // four activations in each 32-bit lane
    high = _mm512_dpbusd_epi32(high, w[v], Broadcast(quants[v]));
    low = _mm512_dpbusd_epi32(low, w[v], Broadcast(quants[v + kParts]));
  }
  return AddExact(high, low, weight_scales, x.scales[index], sum);
}

UNSWIFT_VNNI_INLINE void StoreGroup(const SkinnyMatMul& op, int64_t group, int64_t m, __m512 sum) {
  const int64_t n = group * kPackedRows;
  const int64_t count = std::min(kPackedRows, op.weight.rows - n);
  const auto mask = static_cast<__mmask16>((1u << count) - 1);
  if (op.bias != nullptr) sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, op.bias + n));
  float* const y = op.y.data + m * op.y.stride + n;
  if (op.accumulate) sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, y), sum);
  _mm512_mask_storeu_ps(y, mask, sum);
}

/// kStreams groups that lie far apart, each the head of a stream of its own (matmul-inl.h says
/// why), for the kCols activation rows. Streams that have ended repeat the last group, unused.
template <class W, int kStreams, int kCols, int kAhead>
UNSWIFT_VNNI __attribute__((noinline)) void Pass(const SkinnyMatMul& op, int64_t first,
                                                 int64_t distance, int64_t end) {
  const int64_t blocks = CeilDiv(op.weight.cols, kQuantBlockSize);
  const Panel x(op.x, kCols, blocks);
  const int64_t group_bytes = kPackedRows * op.weight.row_bytes;
  const std::byte* w[kStreams];
  __m512 sum[kStreams][kCols];
  for (int s = 0; s < kStreams; ++s) {
    w[s] = op.weight.data + std::min(first + s * distance, end - 1) * group_bytes;
    for (int c = 0; c < kCols; ++c) sum[s][c] = _mm512_setzero_ps();
  }
  for (int64_t block = 0; block < blocks; ++block) {
#pragma GCC unroll 8
    for (int s = 0; s < kStreams; ++s) {
      const std::byte* const tile = w[s] + block * W::kTileBytes;
      for (int64_t line = 0; kAhead > 0 && line < W::kTileBytes; line += 64) {
        _mm_prefetch(reinterpret_cast<const char*>(tile) + kAhead + line, _MM_HINT_T0);
      }
      __m512i parts[kParts];
      W::Load(tile, parts);
      const __m512 scales = WeightScales(tile);
#pragma GCC unroll 8
      for (int c = 0; c < kCols; ++c) {
        sum[s][c] = AddBlock(parts, scales, x, block * kCols + c, sum[s][c]);
      }
    }
  }
  for (int s = 0; s < kStreams && first + s * distance < end; ++s) {
    for (int c = 0; c < kCols; ++c) StoreGroup(op, first + s * distance, c, sum[s][c]);
  }
}

template <class W, int kStreams, int kCols, int kAhead>
void StreamRange(const SkinnyMatMul& op, int64_t begin, int64_t end) {
  const int64_t distance = CeilDiv(end - begin, int64_t{kStreams});
  for (int64_t pass = 0; pass < distance; ++pass) {
    Pass<W, kStreams, kCols, kAhead>(op, begin + pass, distance, end);
  }
}

template <class W, int kCols>
void FewRowsRange(const SkinnyMatMul& op, int64_t begin, int64_t end) {
  if constexpr (kCols > 1) {
    constexpr int kStreams = kCols <= 4 ? 4 : 2;  // 16 accumulators, beside 8 vectors of weights
    return StreamRange<W, kStreams, kCols, kPrefetchBytes>(op, begin, end);
  } else if (op.reads == WeightReads::kPlain) {
    return StreamRange<W, kPlainStreams, 1, 0>(op, begin, end);
  }
  StreamRange<W, W::kStreams, 1, W::kPrefetchBytes>(op, begin, end);
}

/// kGroups groups x one block of kCols activation rows from `index` on, added to sums. The same
/// operations as AddBlock in another order: eight chains of additions, as many as the latency of
/// two per cycle asks for, and every broadcast serves all groups.
template <int kGroups, int kCols>
UNSWIFT_VNNI_INLINE void AddBlocks(const __m512i (&w)[kGroups][kParts],
                                   const __m512 (&weight_scales)[kGroups], const Panel& x,
                                   int64_t index, float* sums) {
  const float* const quants = x.quants + index * kBlockFloats;
  __m512i high[kCols][kGroups], low[kCols][kGroups];
  for (int c = 0; c < kCols; ++c) {
    for (int g = 0; g < kGroups; ++g) {
      high[c][g] = _mm512_setzero_si512();
      low[c][g] = _mm512_set1_epi32(x.corrections[index + c]);
    }
  }
#pragma GCC unroll 8
  for (int v = 0; v < kParts; ++v) {
    for (int c = 0; c < kCols; ++c) {
      const __m512i of_high = Broadcast(quants[c * kBlockFloats + v]);
      const __m512i of_low = Broadcast(quants[c * kBlockFloats + v + kParts]);
      for (int g = 0; g < kGroups; ++g) {
        high[c][g] = _mm512_dpbusd_epi32(high[c][g], w[g][v], of_high);
        low[c][g] = _mm512_dpbusd_epi32(low[c][g], w[g][v], of_low);
      }
    }
  }
  for (int c = 0; c < kCols; ++c) {
    for (int g = 0; g < kGroups; ++g) {
      float* const sum = sums + (c * kGroups + g) * kPackedRows;
      _mm512_store_ps(sum, AddExact(high[c][g], low[c][g], weight_scales[g], x.scales[index + c],
                                    _mm512_load_ps(sum)));
    }
  }
}

/// kGroups groups from `group` on for all activation rows: a block of their weights stays in
/// registers while the rows pass by, so weights come and are unpacked once.
template <class W, int kGroups>
UNSWIFT_VNNI __attribute__((noinline)) void ManyRows(const SkinnyMatMul& op, int64_t group) {
  const int64_t blocks = CeilDiv(op.weight.cols, kQuantBlockSize), rows = op.y.rows;
  const int64_t group_bytes = kPackedRows * op.weight.row_bytes;
  const Panel x(op.x, rows, blocks);
  float* const sums = ThreadScratch(ScratchSlot::kGemmSums, rows * kGroups * kPackedRows);
  std::fill_n(sums, rows * kGroups * kPackedRows, 0.0f);
  for (int64_t block = 0; block < blocks; ++block) {
    __m512i w[kGroups][kParts];
    __m512 scales[kGroups];
    for (int g = 0; g < kGroups; ++g) {
      const std::byte* const tile =
          op.weight.data + (group + g) * group_bytes + block * W::kTileBytes;
      for (int64_t line = 0; line < W::kTileBytes; line += 64) {  // of the next block
        _mm_prefetch(reinterpret_cast<const char*>(tile) + W::kTileBytes + line, _MM_HINT_T0);
      }
      W::Load(tile, w[g]);
      scales[g] = WeightScales(tile);
    }
    int64_t m = 0;
    for (; m + 2 <= rows; m += 2) {
      AddBlocks<kGroups, 2>(w, scales, x, block * rows + m, sums + m * kGroups * kPackedRows);
    }
    if (m < rows) {
      AddBlocks<kGroups, 1>(w, scales, x, block * rows + m, sums + m * kGroups * kPackedRows);
    }
  }
  for (int64_t m = 0; m < rows; ++m) {
    for (int g = 0; g < kGroups; ++g) {
      StoreGroup(op, group + g, m, _mm512_load_ps(sums + (m * kGroups + g) * kPackedRows));
    }
  }
}

template <class W>
void Range(const SkinnyMatMul& op, int64_t begin, int64_t end) {
  using RangeFunction = void (*)(const SkinnyMatMul&, int64_t, int64_t);
  static constexpr RangeFunction kFewRows[kMaxCols] = {
      FewRowsRange<W, 1>, FewRowsRange<W, 2>, FewRowsRange<W, 3>, FewRowsRange<W, 4>,
      FewRowsRange<W, 5>, FewRowsRange<W, 6>, FewRowsRange<W, 7>, FewRowsRange<W, 8>};
  if (op.y.rows <= kMaxCols) return kFewRows[op.y.rows - 1](op, begin, end);
  for (; begin + 2 <= end; begin += 2) ManyRows<W, 2>(op, begin);
  if (begin < end) ManyRows<W, 1>(op, begin);
}

/// The two halves of a block.
struct Halves {
  __m512 a, b;
};

/// Quantises one block: hi and lo bytes to `quants`; returns the sum of the 32 integers.
UNSWIFT_VNNI_INLINE uint32_t QuantiseBlock(Halves x, float inverse, std::byte* quants) {
  const __m512 scale = _mm512_set1_ps(inverse);
  const __m512i rounding = _mm512_set1_epi32(64);
  const __m512i values[2] = {_mm512_cvtps_epi32(_mm512_mul_ps(x.a, scale)),
                             _mm512_cvtps_epi32(_mm512_mul_ps(x.b, scale))};
  for (int half = 0; half < 2; ++half) {
    const __m512i high = _mm512_srai_epi32(_mm512_add_epi32(values[half], rounding), 7);
    const __m512i low = _mm512_sub_epi32(values[half], _mm512_slli_epi32(high, 7));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(quants + 16 * half), _mm512_cvtepi32_epi8(high));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(quants + 32 + 16 * half),
                     _mm512_cvtepi32_epi8(low));
  }
  return static_cast<uint32_t>(_mm512_reduce_add_epi32(_mm512_add_epi32(values[0], values[1])));
}

/// Largest |x| by its bits, which order NaN above infinity above numbers.
UNSWIFT_VNNI_INLINE float Largest(Halves x) {
  const __m512i mask = _mm512_set1_epi32(0x7fffffff);
  const __m512i a = _mm512_and_si512(_mm512_castps_si512(x.a), mask);
  const __m512i b = _mm512_and_si512(_mm512_castps_si512(x.b), mask);
  const uint32_t bits = _mm512_reduce_max_epu32(_mm512_max_epu32(a, b));
  float largest;
  std::memcpy(&largest, &bits, sizeof(largest));
  return largest;
}

UNSWIFT_VNNI_INLINE Halves LoadBlock(const float* x, int64_t count) {
  if (count >= kQuantBlockSize) return {_mm512_loadu_ps(x), _mm512_loadu_ps(x + 16)};
  const uint32_t mask = (1u << count) - 1;
  return {_mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), x),
          _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16), x + 16)};
}

UNSWIFT_VNNI void LayOut(uint32_t offset, ConstRows x, int64_t row, float* out) {
  const int64_t blocks = CeilDiv(x.cols, kQuantBlockSize);
  float* const scales = out + x.rows * blocks * kBlockFloats;
  const float* const from = x.row(row).data();
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t index = block * x.rows + row;
    const Halves values =
        LoadBlock(from + block * kQuantBlockSize, x.cols - block * kQuantBlockSize);
    const float largest = Largest(values);
    const float inverse = largest < kVnniSmallest ? 0.0f : kVnniLevels / largest;
    auto* const quants = reinterpret_cast<std::byte*>(out + index * kBlockFloats);
    // Unsigned: of a block that is not finite the integers mean nothing and may overflow.
    const uint32_t correction = 0u - offset * QuantiseBlock(values, inverse, quants);
    // Infinity as a scale could meet a sum of 0, or of the wrong sign.
    scales[index] = largest * 0.0f == 0.0f ? largest * (1.0f / kVnniLevels) : largest - largest;
    std::memcpy(scales + x.rows * blocks + index, &correction, sizeof(correction));
  }
}

}  // namespace

bool HasVnni() {
  static const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512vl") &&
                          __builtin_cpu_supports("avx512vnni");
  return has;
}

int64_t VnniPanelFloats(int64_t rows, int64_t k) {
  return RoundUp(rows * CeilDiv(k, kQuantBlockSize) * (kBlockFloats + 2), 16);
}

int64_t VnniPanelRows(int64_t k) {
  constexpr int64_t kPanelFloats = (512 << 10) / sizeof(float);
  return std::clamp<int64_t>(kPanelFloats / VnniPanelFloats(1, std::max<int64_t>(k, 1)) / 2 * 2, 32,
                             128);
}

void VnniLayOutRow(DType dtype, ConstRows x, int64_t row, float* out) {
  LayOut(dtype == DType::kQ8_0 ? 128 : 8, x, row, out);
}

void VnniPackedRange(const SkinnyMatMul& op, int64_t group_begin, int64_t group_end) {
  if (op.weight.dtype == DType::kQ8_0) return Range<Q8>(op, group_begin, group_end);
  Range<Q4>(op, group_begin, group_end);
}

}  // namespace unswift

#else

namespace unswift {

bool HasVnni() { return false; }
int64_t VnniPanelFloats(int64_t, int64_t) { return 0; }
int64_t VnniPanelRows(int64_t) { return 1; }
void VnniLayOutRow(DType, ConstRows, int64_t, float*) { UNSWIFT_CHECK(false); }
void VnniPackedRange(const SkinnyMatMul&, int64_t, int64_t) { UNSWIFT_CHECK(false); }

}  // namespace unswift

#endif
