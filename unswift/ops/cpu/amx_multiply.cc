// bf16 products on Intel's AMX tiles.
#include "unswift/ops/cpu/bf16_multiply.h"

#if defined(UNSWIFT_BF16_UNITS)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

// Not for the whole file: inline functions of shared headers must not come out for processors that
// have all of these.
#pragma GCC target("amx-tile,amx-bf16,avx512f,avx512bw,avx512dq,avx512vl")

namespace unswift {
namespace {

constexpr int64_t kTileBytes = 64;  // of one tile row

/// All eight tiles 16 rows of 64 bytes, for the life of this object.
class TileConfig {
 public:
  TileConfig() {
    struct alignas(64) {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {};
      uint8_t rows[16] = {};
    } config;
    for (int i = 0; i < 8; ++i) {
      config.row_bytes[i] = 64;
      config.rows[i] = 16;
    }
    _tile_loadconfig(&config);
  }
  ~TileConfig() { _tile_release(); }
};

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
      _tile_loadd(4, w0 + (k * kWParts + q) * kBf16TileElements, kTileBytes);
      _tile_loadd(5, w1 + (k * kWParts + q) * kBf16TileElements, kTileBytes);
      for (int p = 0; p < kXParts; ++p) {
        _tile_loadd(6, x0 + (k * kXParts + p) * kBf16TileElements, kTileBytes);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(2, 5, 6);
        if constexpr (kMTiles == 2) {
          _tile_loadd(7, x1 + (k * kXParts + p) * kBf16TileElements, kTileBytes);
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
void MultiplyAll(const Bf16Weights& weights, const Bf16Activations& x, int64_t first_k_tile,
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

}  // namespace

bool HasAmx() {
  static const bool has = AskForTiles();
  return has;
}

void AmxMultiply(const Bf16Weights& weights, const Bf16Activations& x, int64_t first_k_tile,
                 bool accumulate, float* sums, int64_t stride) {
  using Function =
      void (*)(const Bf16Weights&, const Bf16Activations&, int64_t, bool, float*, int64_t);
  static constexpr Function kFunctions[2][2] = {{MultiplyAll<1, 1>, MultiplyAll<1, 2>},
                                                {MultiplyAll<2, 1>, MultiplyAll<2, 2>}};
  kFunctions[x.parts - 1][weights.parts - 1](weights, x, first_k_tile, accumulate, sums, stride);
}

}  // namespace unswift
#endif
