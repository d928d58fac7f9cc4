// Cutting and transposing for bf16_gemm.cc, compiled for its processors.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "unswift/ops/cpu/bf16_gemm.h"

namespace unswift {
namespace {

constexpr int kMaxParts = 2;
constexpr int64_t kTileBytes = 64;  // of one tile row

/// 32 floats as two vectors; what lies beyond `count` is zero.
struct Floats32 {
  __m512 low, high;
};
inline Floats32 Load32(const float* p, int64_t count) {
  if (count >= 32) return {_mm512_loadu_ps(p), _mm512_loadu_ps(p + 16)};
  const auto mask = static_cast<uint32_t>((uint64_t{1} << count) - 1);
  return {_mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), p),
          _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16), p + 16)};
}

/// The upper halves of 32 floats, in order.
inline __m512i UpperHalves(__m512 low, __m512 high) {
  alignas(64) static constexpr uint16_t kOddWords[32] = {1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21,
                                                         23, 25, 27, 29, 31, 33, 35, 37, 39, 41, 43,
                                                         45, 47, 49, 51, 53, 55, 57, 59, 61, 63};
  return _mm512_permutex2var_epi16(_mm512_castps_si512(low), _mm512_load_si512(kOddWords),
                                   _mm512_castps_si512(high));
}

/// To the nearest bf16, ties to even, in the upper half; the lower half is not cleared. Where that
/// would overflow, and of what is not finite: truncation.
inline __m512 RoundUpperHalf(__m512 x) {
  constexpr int kInfinityOrNan = 0x99;
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512 rounded =
      _mm512_castsi512_ps(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))));
  const __mmask16 keep =
      _mm512_fpclass_ps_mask(x, kInfinityOrNan) | _mm512_fpclass_ps_mask(rounded, kInfinityOrNan);
  return _mm512_mask_mov_ps(rounded, keep, x);
}

/// x minus its rounded upper half (exact); of what is not finite: zero.
inline __m512 Remainder(__m512 x, __m512 rounded) {
  constexpr int kInfinityOrNan = 0x99;
  const __m512 upper = _mm512_castsi512_ps(_mm512_and_si512(
      _mm512_castps_si512(rounded), _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
  const __mmask16 finite = _knot_mask16(_mm512_fpclass_ps_mask(x, kInfinityOrNan));
  return _mm512_maskz_sub_ps(finite, x, upper);
}

/// Cuts 32 floats into one or two parts.
inline void Split(const Floats32& x, int parts, __m512i* out) {
  const Floats32 rounded = {RoundUpperHalf(x.low), RoundUpperHalf(x.high)};
  out[0] = UpperHalves(rounded.low, rounded.high);
  if (parts == 1) return;
  out[1] = UpperHalves(RoundUpperHalf(Remainder(x.low, rounded.low)),
                       RoundUpperHalf(Remainder(x.high, rounded.high)));
}

/// Transposes 16 vectors of 16 dwords in place.
inline void Transpose16x16(__m512i* r) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

/// Two rows of 16 floats as bf16 pairs: the first row's in the low halves. One vector per part.
inline void SplitPairs(__m512 first, __m512 second, int parts, __m512i* out) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
  for (int p = 0; p < parts; ++p) {
    const __m512 a = RoundUpperHalf(first), b = RoundUpperHalf(second);
    out[p] = _mm512_or_si512(_mm512_srli_epi32(_mm512_castps_si512(a), 16),
                             _mm512_and_si512(_mm512_castps_si512(b), upper));
    first = Remainder(first, a);
    second = Remainder(second, b);
  }
}

}  // namespace
}  // namespace unswift
