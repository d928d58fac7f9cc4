// Compiled for AMX; nothing in it runs unless UsesAmx().
#include "unswift/ops/cpu/amx_gemm.h"

#include <algorithm>

#include "hwy/detect_targets.h"
#include "unswift/base/check.h"
#include "unswift/ops/cpu/targets.h"

#if defined(UNSWIFT_AMX)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

// From here on, and not for the whole file: inline functions of shared headers must not come out
// for processors that have all of these.
#pragma GCC target("amx-tile,amx-bf16,avx512f,avx512bw,avx512dq,avx512vl")
#include "unswift/ops/cpu/amx-inl.h"
#endif

namespace unswift {

int AmxWeightParts(DType dtype) { return dtype == DType::kBF16 ? 1 : 2; }

#if defined(UNSWIFT_AMX)
namespace {

bool AskForTiles() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  constexpr unsigned kAmxBf16 = 1u << 22, kAmxTile = 1u << 24;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  if ((edx & kAmxBf16) == 0 || (edx & kAmxTile) == 0) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

/// Sums of kMTiles x 2 tiles over all k tiles of one block. w0, w1: two n tiles; x0, x1: m tiles.
template <int kXParts, int kWParts, int kMTiles>
void MultiplyBlock(const uint16_t* w0, const uint16_t* w1, const uint16_t* x0, const uint16_t* x1,
                   int64_t k_tiles, bool accumulate, float* sums, int64_t stride) {
  const int64_t stride_bytes = stride * static_cast<int64_t>(sizeof(float));
  float* lower = sums + 16 * stride;
  if (accumulate) {
    _tile_loadd(0, sums, stride_bytes);
    _tile_loadd(2, lower, stride_bytes);
    if constexpr (kMTiles == 2) {
      _tile_loadd(1, sums + 16, stride_bytes);
      _tile_loadd(3, lower + 16, stride_bytes);
    }
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t k = 0; k < k_tiles; ++k) {
    for (int q = 0; q < kWParts; ++q) {
      _tile_loadd(4, w0 + (k * kWParts + q) * kAmxTileElements, kTileBytes);
      _tile_loadd(5, w1 + (k * kWParts + q) * kAmxTileElements, kTileBytes);
      for (int p = 0; p < kXParts; ++p) {
        _tile_loadd(6, x0 + (k * kXParts + p) * kAmxTileElements, kTileBytes);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(2, 5, 6);
        if constexpr (kMTiles == 2) {
          _tile_loadd(7, x1 + (k * kXParts + p) * kAmxTileElements, kTileBytes);
          _tile_dpbf16ps(1, 4, 7);
          _tile_dpbf16ps(3, 5, 7);
        }
      }
    }
  }
  _tile_stored(0, sums, stride_bytes);
  _tile_stored(2, lower, stride_bytes);
  if constexpr (kMTiles == 2) {
    _tile_stored(1, sums + 16, stride_bytes);
    _tile_stored(3, lower + 16, stride_bytes);
  }
}

template <int kXParts, int kWParts>
void MultiplyAll(const AmxWeights& weights, const AmxActivations& x, int64_t first_k_tile,
                 bool accumulate, float* sums, int64_t stride) {
  const TileConfig config;
  for (int64_t m = 0; m < x.m_tiles; m += 2) {
    for (int64_t n = 0; n < weights.n_tiles; n += 2) {
      const uint16_t* w0 = weights.Tile(n, 0);
      const uint16_t* w1 = weights.Tile(n + 1, 0);
      const uint16_t* x0 = x.Tile(m, first_k_tile);
      float* at = sums + n * 16 * stride + m * 16;
      if (m + 1 < x.m_tiles) {
        MultiplyBlock<kXParts, kWParts, 2>(w0, w1, x0, x.Tile(m + 1, first_k_tile), weights.k_tiles,
                                           accumulate, at, stride);
      } else {
        MultiplyBlock<kXParts, kWParts, 1>(w0, w1, x0, nullptr, weights.k_tiles, accumulate, at,
                                           stride);
      }
    }
  }
}

/// Fills one tile per part with the transposed rows.
void StoreTransposed(__m512i (*parts)[16], int num_parts, uint16_t* tile) {
  for (int p = 0; p < num_parts; ++p) {
    Transpose16x16(parts[p]);
    for (int i = 0; i < 16; ++i) {
      _mm512_store_si512(tile + p * kAmxTileElements + i * 32, parts[p][i]);
    }
  }
}

}  // namespace

bool UsesAmx() {
  static const bool has = AskForTiles();
  return has && CurrentKernelTarget() == HWY_AVX3;
}

void AmxPackActivations(ConstRows rows, int64_t m_tile, const AmxActivations& out) {
  for (int64_t k = 0; k < out.k_tiles; ++k) {
    __m512i parts[kMaxParts][16];
    for (int64_t r = 0; r < 16; ++r) {
      __m512i of_row[kMaxParts] = {};
      if (r < rows.rows)
        Split(Load32(rows.row(r).data() + k * 32, rows.cols - k * 32), out.parts, of_row);
      for (int p = 0; p < out.parts; ++p) parts[p][r] = of_row[p];
    }
    StoreTransposed(parts, out.parts, out.Tile(m_tile, k));
  }
}

void AmxPackWeights(ConstRows rows, int64_t n_tile, const AmxWeights& out) {
  for (int64_t r = 0; r < 16; ++r) {
    for (int64_t k = 0; k < out.k_tiles; ++k) {
      __m512i parts[kMaxParts] = {};
      if (r < rows.rows)
        Split(Load32(rows.row(r).data() + k * 32, rows.cols - k * 32), out.parts, parts);
      for (int p = 0; p < out.parts; ++p) {
        _mm512_store_si512(out.Tile(n_tile, k) + p * kAmxTileElements + r * 32, parts[p]);
      }
    }
  }
}

void AmxPackBf16Weights(const MatrixView& rows, int64_t n_tile, const AmxWeights& out) {
  for (int64_t r = 0; r < 16; ++r) {
    for (int64_t k = 0; k < out.k_tiles; ++k) {
      __m512i values = _mm512_setzero_si512();
      const int64_t count = std::min<int64_t>(32, rows.cols - k * 32);
      if (r < rows.rows) {
        const std::byte* from = rows.row(r) + k * kTileBytes;
        values = count == 32 ? _mm512_loadu_si512(from)
                             : _mm512_maskz_loadu_epi16((uint32_t{1} << count) - 1, from);
      }
      _mm512_store_si512(out.Tile(n_tile, k) + r * 32, values);
    }
  }
}

void AmxPackTransposed(ConstRows rows, int64_t k_tile, const AmxWeights& out) {
  for (int64_t n = 0; n < out.n_tiles; ++n) {
    const int64_t count = std::clamp<int64_t>(rows.cols - n * 16, 0, 16);
    const auto mask = static_cast<__mmask16>((uint32_t{1} << count) - 1);
    const auto load = [&](int64_t r) {
      return r < rows.rows ? _mm512_maskz_loadu_ps(mask, rows.row(r).data() + n * 16)
                           : _mm512_setzero_ps();
    };
    __m512i parts[kMaxParts][16];
    for (int i = 0; i < 16; ++i) {
      __m512i pairs[kMaxParts];
      SplitPairs(load(2 * i), load(2 * i + 1), out.parts, pairs);
      for (int p = 0; p < out.parts; ++p) parts[p][i] = pairs[p];
    }
    StoreTransposed(parts, out.parts, out.Tile(n, k_tile));
  }
}

void AmxPackTransposedActivations(ConstRows rows, int64_t k_tile, const AmxActivations& out) {
  for (int64_t m = 0; m < out.m_tiles; ++m) {
    const auto load = [&](int64_t r) {
      return r < rows.rows ? _mm512_load_ps(rows.row(r).data() + m * 16) : _mm512_setzero_ps();
    };
    uint16_t* tile = out.Tile(m, k_tile);
    for (int i = 0; i < 16; ++i) {
      __m512i pairs[kMaxParts];
      SplitPairs(load(2 * i), load(2 * i + 1), out.parts, pairs);
      for (int p = 0; p < out.parts; ++p) {
        _mm512_store_si512(tile + p * kAmxTileElements + i * 32, pairs[p]);
      }
    }
  }
}

void AmxMultiply(const AmxWeights& weights, const AmxActivations& x, int64_t first_k_tile,
                 bool accumulate, float* sums, int64_t stride) {
  using Function =
      void (*)(const AmxWeights&, const AmxActivations&, int64_t, bool, float*, int64_t);
  static constexpr Function kFunctions[2][2] = {{MultiplyAll<1, 1>, MultiplyAll<1, 2>},
                                                {MultiplyAll<2, 1>, MultiplyAll<2, 2>}};
  UNSWIFT_CHECK(weights.n_tiles % 2 == 0);
  kFunctions[x.parts - 1][weights.parts - 1](weights, x, first_k_tile, accumulate, sums, stride);
}

void AmxStore(const float* sums, int64_t stride, const float* bias, bool accumulate, Rows y) {
  for (int64_t n = 0; n < y.cols; n += 16) {
    const int64_t count = std::min<int64_t>(16, y.cols - n);
    const auto mask = static_cast<__mmask16>((uint32_t{1} << count) - 1);
    const __m512 add =
        bias == nullptr ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(mask, bias + n);
    for (int64_t m = 0; m < y.rows; m += 16) {
      __m512i block[16];
      for (int i = 0; i < 16; ++i) block[i] = _mm512_load_si512(sums + (n + i) * stride + m);
      Transpose16x16(block);
      for (int64_t i = 0; i < std::min<int64_t>(16, y.rows - m); ++i) {
        float* out = y.data + (m + i) * y.stride + n;
        __m512 value = _mm512_castsi512_ps(block[i]);
        if (bias != nullptr) value = _mm512_add_ps(value, add);
        if (accumulate) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, out));
        _mm512_mask_storeu_ps(out, mask, value);
      }
    }
  }
}

#else  // another architecture, or a compiler without AMX

bool UsesAmx() { return false; }
void AmxPackActivations(ConstRows, int64_t, const AmxActivations&) { UNSWIFT_CHECK(false); }
void AmxPackWeights(ConstRows, int64_t, const AmxWeights&) { UNSWIFT_CHECK(false); }
void AmxPackBf16Weights(const MatrixView&, int64_t, const AmxWeights&) { UNSWIFT_CHECK(false); }
void AmxPackTransposed(ConstRows, int64_t, const AmxWeights&) { UNSWIFT_CHECK(false); }
void AmxPackTransposedActivations(ConstRows, int64_t, const AmxActivations&) {
  UNSWIFT_CHECK(false);
}
void AmxMultiply(const AmxWeights&, const AmxActivations&, int64_t, bool, float*, int64_t) {
  UNSWIFT_CHECK(false);
}
void AmxStore(const float*, int64_t, const float*, bool, Rows) { UNSWIFT_CHECK(false); }

#endif

}  // namespace unswift
