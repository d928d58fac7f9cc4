// bf16 products by AVX-512's vdpbf16ps (AMD from Zen 4 on, Intel without AMX): a lane is a column
// of sums (an activation row), a weight pair is broadcast to all lanes.
#include "unswift/ops/cpu/bf16_multiply.h"

#if defined(UNSWIFT_BF16_UNITS)
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "unswift/base/check.h"

// Not for the whole file: see amx_multiply.cc.
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")

namespace unswift {
namespace {

constexpr int kRows = 8;  // weight rows of one block of sums: 24 accumulators of 32 registers
constexpr int kMaxMTiles = 3;
constexpr int kPairs = 16;  // of k, in one tile

inline __m512bh LoadPairs(const uint16_t* from) { return (__m512bh)_mm512_load_si512(from); }
inline __m512bh BroadcastPair(const uint16_t* from) {
  int32_t pair;
  std::memcpy(&pair, from, sizeof(pair));
  return (__m512bh)_mm512_set1_epi32(pair);
}

/// kRows x (kMTiles * 16) sums over the k tiles. w: the first row in its first k tile; x: the first
/// m tile's; the m tiles lie m_stride elements apart.
template <int kMTiles>
void MultiplyBlock(const uint16_t* w, const uint16_t* x, int64_t m_stride, int64_t k_tiles,
                   bool accumulate, float* sums, int64_t stride) {
  __m512 acc[kRows][kMTiles];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 3
    for (int m = 0; m < kMTiles; ++m) {
      acc[r][m] = accumulate ? _mm512_load_ps(sums + r * stride + m * 16) : _mm512_setzero_ps();
    }
  }
  for (int64_t k = 0; k < k_tiles; ++k) {
    for (int pair = 0; pair < kPairs; ++pair) {
      __m512bh of_x[kMTiles];
#pragma GCC unroll 3
      for (int m = 0; m < kMTiles; ++m) of_x[m] = LoadPairs(x + m * m_stride + pair * 32);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const __m512bh of_w = BroadcastPair(w + r * 32 + pair * 2);
#pragma GCC unroll 3
        for (int m = 0; m < kMTiles; ++m) {
          acc[r][m] = _mm512_dpbf16_ps(acc[r][m], of_w, of_x[m]);
        }
      }
    }
    w += kBf16TileElements;
    x += kBf16TileElements;
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 3
    for (int m = 0; m < kMTiles; ++m) _mm512_store_ps(sums + r * stride + m * 16, acc[r][m]);
  }
}

}  // namespace

bool HasBf16Dot() {
  static const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") &&
                          __builtin_cpu_supports("avx512vl") &&
                          __builtin_cpu_supports("avx512bf16");
  return has;
}

void DotMultiply(const Bf16Weights& weights, const Bf16Activations& x, int64_t first_k_tile,
                 bool accumulate, float* sums, int64_t stride) {
  UNSWIFT_CHECK(x.parts == 1 && weights.parts == 1);
  using Function =
      void (*)(const uint16_t*, const uint16_t*, int64_t, int64_t, bool, float*, int64_t);
  static constexpr Function kFunctions[kMaxMTiles] = {MultiplyBlock<1>, MultiplyBlock<2>,
                                                      MultiplyBlock<3>};
  const int64_t m_stride = x.k_tiles * kBf16TileElements;
  for (int64_t m = 0; m < x.m_tiles; m += kMaxMTiles) {
    const Function multiply = kFunctions[std::min<int64_t>(kMaxMTiles, x.m_tiles - m) - 1];
    for (int64_t row = 0; row < weights.n_tiles * 16; row += kRows) {
      const uint16_t* of_w = weights.Tile(row / 16, 0) + row % 16 * 32;
      multiply(of_w, x.Tile(m, first_k_tile), m_stride, weights.k_tiles, accumulate,
               sums + row * stride + m * 16, stride);
    }
  }
}

}  // namespace unswift
#endif
