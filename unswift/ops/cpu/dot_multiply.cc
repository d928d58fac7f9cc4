// bf16 products in lanes by AVX-512's vdpbf16ps (AMD from Zen 4 on, Intel without AMX).
#include "unswift/ops/cpu/bf16_multiply.h"

#if defined(UNSWIFT_BF16_UNITS)
#include <immintrin.h>

#include "unswift/ops/cpu/lane_kernel.h"

// Not for the whole file: see amx_multiply.cc.
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")
#include "unswift/ops/cpu/lane_multiply-inl.h"

namespace unswift {
namespace {

struct Bf16Products {
  static __m512 Add(__m512 sum, __m512i w, __m512i x) {
    return _mm512_dpbf16_ps(sum, (__m512bh)w, (__m512bh)x);
  }
};

}  // namespace

bool HasBf16Dot() {
  static const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") &&
                          __builtin_cpu_supports("avx512vl") &&
                          __builtin_cpu_supports("avx512bf16");
  return has;
}

const LaneKernel kLaneBf16Pairs = MakeLaneKernel<Bf16Products, CopyLine>();

}  // namespace unswift
#endif
