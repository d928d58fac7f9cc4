// Cutting operands into parts and tiles. Compiled for AVX-512; nothing in it runs without a
// Bf16Unit.
#include "unswift/ops/cpu/bf16_gemm.h"

#include <algorithm>

#include "hwy/detect_targets.h"
#include "unswift/base/check.h"
#include "unswift/ops/cpu/targets.h"

#if defined(UNSWIFT_BF16_UNITS)
#include <immintrin.h>

#include "unswift/ops/cpu/bf16_multiply.h"

// From here on, and not for the whole file: inline functions of shared headers must not come out
// for processors that have all of these.
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl")
#include "unswift/ops/cpu/bf16_parts-inl.h"
#endif

namespace unswift {

int Bf16WeightParts(DType dtype) { return dtype == DType::kBF16 ? 1 : 2; }

#if defined(UNSWIFT_BF16_UNITS)
namespace {

/// Fills one tile per part with the transposed rows.
void StoreTransposed(__m512i (*parts)[16], int num_parts, uint16_t* tile) {
  for (int p = 0; p < num_parts; ++p) {
    Transpose16x16(parts[p]);
    for (int i = 0; i < 16; ++i) {
      _mm512_store_si512(tile + p * kBf16TileElements + i * 32, parts[p][i]);
    }
  }
}

}  // namespace

Bf16Unit CurrentBf16Unit() {
  static const Bf16Unit unit = HasAmx()       ? Bf16Unit::kTiles
                               : HasBf16Dot() ? Bf16Unit::kDot
                                              : Bf16Unit::kNone;
  return CurrentKernelTarget() == HWY_AVX3 ? unit : Bf16Unit::kNone;
}

void Bf16PackActivations(ConstRows rows, int64_t m_tile, const Bf16Activations& out) {
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

void Bf16PackWeights(ConstRows rows, int64_t n_tile, const Bf16Weights& out) {
  for (int64_t r = 0; r < 16; ++r) {
    for (int64_t k = 0; k < out.k_tiles; ++k) {
      __m512i parts[kMaxParts] = {};
      if (r < rows.rows)
        Split(Load32(rows.row(r).data() + k * 32, rows.cols - k * 32), out.parts, parts);
      for (int p = 0; p < out.parts; ++p) {
        _mm512_store_si512(out.Tile(n_tile, k) + p * kBf16TileElements + r * 32, parts[p]);
      }
    }
  }
}

void Bf16CopyWeights(const MatrixView& rows, int64_t n_tile, const Bf16Weights& out) {
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

void Bf16PackTransposed(ConstRows rows, int64_t k_tile, const Bf16Weights& out) {
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

void Bf16PackTransposedActivations(ConstRows rows, int64_t k_tile, const Bf16Activations& out) {
  for (int64_t m = 0; m < out.m_tiles; ++m) {
    const auto load = [&](int64_t r) {
      return r < rows.rows ? _mm512_load_ps(rows.row(r).data() + m * 16) : _mm512_setzero_ps();
    };
    uint16_t* tile = out.Tile(m, k_tile);
    for (int i = 0; i < 16; ++i) {
      __m512i pairs[kMaxParts];
      SplitPairs(load(2 * i), load(2 * i + 1), out.parts, pairs);
      for (int p = 0; p < out.parts; ++p) {
        _mm512_store_si512(tile + p * kBf16TileElements + i * 32, pairs[p]);
      }
    }
  }
}

void Bf16Multiply(const Bf16Weights& weights, const Bf16Activations& x, int64_t first_k_tile,
                  bool accumulate, float* sums, int64_t stride) {
  UNSWIFT_CHECK(weights.n_tiles % 2 == 0);
  AmxMultiply(weights, x, first_k_tile, accumulate, sums, stride);
}

void Bf16Store(const float* sums, int64_t stride, const float* bias, bool accumulate, Rows y) {
  // Rows of y may lie pages apart: as much as there is of 16 of them, then the next.
  for (int64_t m = 0; m < y.rows; m += 16) {
    for (int64_t n = 0; n < y.cols; n += 16) {
      const int64_t count = std::min<int64_t>(16, y.cols - n);
      const auto mask = static_cast<__mmask16>((uint32_t{1} << count) - 1);
      const __m512 add =
          bias == nullptr ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(mask, bias + n);
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

#else  // another architecture, or a compiler without these instructions

Bf16Unit CurrentBf16Unit() { return Bf16Unit::kNone; }
void Bf16PackActivations(ConstRows, int64_t, const Bf16Activations&) { UNSWIFT_CHECK(false); }
void Bf16PackWeights(ConstRows, int64_t, const Bf16Weights&) { UNSWIFT_CHECK(false); }
void Bf16CopyWeights(const MatrixView&, int64_t, const Bf16Weights&) { UNSWIFT_CHECK(false); }
void Bf16PackTransposed(ConstRows, int64_t, const Bf16Weights&) { UNSWIFT_CHECK(false); }
void Bf16PackTransposedActivations(ConstRows, int64_t, const Bf16Activations&) {
  UNSWIFT_CHECK(false);
}
void Bf16Multiply(const Bf16Weights&, const Bf16Activations&, int64_t, bool, float*, int64_t) {
  UNSWIFT_CHECK(false);
}
void Bf16Store(const float*, int64_t, const float*, bool, Rows) { UNSWIFT_CHECK(false); }

#endif

}  // namespace unswift
