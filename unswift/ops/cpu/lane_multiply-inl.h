// The kernel of lane_kernel.h for one kind of products, compiled for the instructions of that kind.
#pragma once

#include <immintrin.h>

#include "unswift/ops/cpu/lane_kernel.h"

namespace unswift {
namespace {

/// A line as it is stored: of floats, or of pairs of bf16.
struct CopyLine {
  static constexpr int64_t kBytes = 64;
  static void Move(const std::byte* from, uint32_t* to) {
    _mm512_store_si512(to, _mm512_loadu_si512(from));
  }
};

/// sums (+)= weights x activations. A block of k starts from zero and is added as a whole: rounding
/// errors grow with its length, not with k.
template <class Products, class Line, int kVectors>
void MultiplyLanes(const LaneOperands& operands, const LaneMoves& moves) {
  constexpr int64_t kRows = kLaneWeightRows;
  __m512 acc[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) acc[r][v] = _mm512_setzero_ps();
  }
  const uint32_t* w = operands.weights;
  const uint32_t* x = operands.x;
  for (int64_t line = 0; line < operands.lines; ++line) {
    for (int i = 0; i < moves.count; ++i) {
      const std::byte* const from = moves.from[i] + line * Line::kBytes;
      Line::Move(from, moves.to[i] + line * kRows * kLineWords);
      _mm_prefetch(reinterpret_cast<const char*>(from) + moves.prefetch_bytes, _MM_HINT_T1);
    }
    for (int64_t word = 0; word < kLineWords; ++word) {
      __m512i of_x[kVectors];
#pragma GCC unroll 3
      for (int v = 0; v < kVectors; ++v) of_x[v] = _mm512_load_si512(x + v * kLanes512);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const __m512i of_w = _mm512_set1_epi32(static_cast<int>(w[r * kLineWords + word]));
#pragma GCC unroll 3
        for (int v = 0; v < kVectors; ++v) acc[r][v] = Products::Add(acc[r][v], of_w, of_x[v]);
      }
      x += kVectors * kLanes512;
    }
    w += kRows * kLineWords;
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) {
      float* const sum = operands.sums + r * operands.stride + v * kLanes512;
      if (operands.accumulate) acc[r][v] = _mm512_add_ps(_mm512_load_ps(sum), acc[r][v]);
      _mm512_store_ps(sum, acc[r][v]);
    }
  }
}

template <class Products, class Line>
constexpr LaneKernel MakeLaneKernel() {
  return {{MultiplyLanes<Products, Line, 1>, MultiplyLanes<Products, Line, 2>,
           MultiplyLanes<Products, Line, 3>},
          Line::Move,
          Line::kBytes};
}

}  // namespace
}  // namespace unswift
