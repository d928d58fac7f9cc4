// Activation rows to vectors of lanes.
#include "unswift/ops/cpu/lane_kernel.h"

#if defined(UNSWIFT_BF16_UNITS)
#include <immintrin.h>

#include <algorithm>

// Not for the whole file: see amx_multiply.cc.
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl")
#include "unswift/ops/cpu/bf16_parts-inl.h"

namespace unswift {
namespace {

struct FloatWords {
  static constexpr int64_t kCols = 1;
  static __m512i Load(const float* from, int64_t count) {
    return _mm512_castps_si512(Load32(from, std::min(count, kLineWords)).low);
  }
};

struct Bf16Words {
  static constexpr int64_t kCols = 2;
  static __m512i Load(const float* from, int64_t count) {
    __m512i rounded;
    Split(Load32(from, count), /*parts=*/1, &rounded);
    return rounded;
  }
};

template <class Words>
void PackLanes(ConstRows rows, const LaneTarget& target) {
  for (int64_t word = 0; word < target.words; word += kLineWords) {
    const int64_t k = word * Words::kCols;
    __m512i lines[kLanes512];
    for (int64_t r = 0; r < kLanes512; ++r) {
      lines[r] = r < rows.rows ? Words::Load(rows.row(r).data() + k, rows.cols - k)
                               : _mm512_setzero_si512();
    }
    Transpose16x16(lines);
    for (int64_t i = 0; i < kLineWords; ++i) {
      _mm512_store_si512(target.data + (word + i) * target.stride, lines[i]);
    }
  }
}

}  // namespace

void PackFloatLanes(ConstRows rows, const LaneTarget& target) {
  PackLanes<FloatWords>(rows, target);
}
void PackBf16Lanes(ConstRows rows, const LaneTarget& target) { PackLanes<Bf16Words>(rows, target); }

}  // namespace unswift
#endif
