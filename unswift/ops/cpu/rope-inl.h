// Rotation of one row's heads. Compiled once per Highway target.
#include "unswift/ops/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unswift {
namespace HWY_NAMESPACE {

/// x: num_heads heads of head_dim; cosines, sines: half values, shared by the heads.
void RotateRow(float* x, int64_t num_heads, int64_t head_dim, int64_t half, const float* cosines,
               const float* sines) {
  for (int64_t h = 0; h < num_heads; ++h) {
    float* first = x + h * head_dim;
    float* second = first + half;
    ForEachVector(half, [&](int64_t i, int64_t count) HWY_ATTR {
      const auto c = LoadUpTo(cosines + i, count), s = LoadUpTo(sines + i, count);
      const auto a = LoadUpTo(first + i, count), b = LoadUpTo(second + i, count);
      StoreUpTo(hn::NegMulAdd(b, s, hn::Mul(a, c)), first + i, count);
      StoreUpTo(hn::MulAdd(a, s, hn::Mul(b, c)), second + i, count);
    });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace unswift
HWY_AFTER_NAMESPACE();
