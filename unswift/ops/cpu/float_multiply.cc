// Float32 products in lanes (AVX-512), of weights that are widened as they are packed.
#include "unswift/ops/cpu/lane_kernel.h"

#if defined(UNSWIFT_BF16_UNITS)
#include <immintrin.h>

// Not for the whole file: see amx_multiply.cc.
#pragma GCC target("avx512f")
#include "unswift/ops/cpu/lane_multiply-inl.h"

namespace unswift {
namespace {

struct FloatProducts {
  static __m512 Add(__m512 sum, __m512i w, __m512i x) {
    return _mm512_fmadd_ps(_mm512_castsi512_ps(w), _mm512_castsi512_ps(x), sum);
  }
};

__m256i LoadHalves(const std::byte* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

struct WidenBf16 {
  static constexpr int64_t kBytes = 32;
  static void Move(const std::byte* from, uint32_t* to) {
    _mm512_store_si512(to, _mm512_slli_epi32(_mm512_cvtepu16_epi32(LoadHalves(from)), 16));
  }
};

struct WidenF16 {
  static constexpr int64_t kBytes = 32;
  static void Move(const std::byte* from, uint32_t* to) {
    _mm512_store_si512(to, _mm512_castps_si512(_mm512_cvtph_ps(LoadHalves(from))));
  }
};

}  // namespace

const LaneKernel kLaneF32 = MakeLaneKernel<FloatProducts, CopyLine>();
const LaneKernel kLaneF16 = MakeLaneKernel<FloatProducts, WidenF16>();
const LaneKernel kLaneBf16 = MakeLaneKernel<FloatProducts, WidenBf16>();

}  // namespace unswift
#endif
