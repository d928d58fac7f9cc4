// RMS and layer norm of one row. Compiled once per Highway target.
//
// Sums run in four float32 vectors. A sum of n same-signed terms in V = 4 * kLanes chains carries a
// relative error of at most (n / V + 8) u, u = 2^-24: 4e-6 for n = 4096 on AVX-512 in the worst
// case, typically 1e-7; the square root halves it.
#include <cmath>

#include "unswift/ops/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unswift {
namespace HWY_NAMESPACE {

/// Sum of fn(x_i) over n values, where fn maps a vector of x (tail lanes are padded with `pad`) to
/// a vector of terms that is 0 for x = pad.
template <class Fn>
HWY_INLINE float SumOf(const float* x, int64_t n, float pad, const Fn& fn) {
  auto s0 = hn::Zero(F32Tag()), s1 = s0, s2 = s0, s3 = s0;
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    s0 = fn(LoadFloats(x + i), s0);
    s1 = fn(LoadFloats(x + i + kLanes), s1);
    s2 = fn(LoadFloats(x + i + 2 * kLanes), s2);
    s3 = fn(LoadFloats(x + i + 3 * kLanes), s3);
  }
  for (; i + kLanes <= n; i += kLanes) s0 = fn(LoadFloats(x + i), s0);
  if (i < n) {
    HWY_ALIGN float lanes[kLanes];
    for (float& lane : lanes) lane = pad;
    std::memcpy(lanes, x + i, (n - i) * sizeof(float));
    s1 = fn(hn::Load(F32Tag(), lanes), s1);
  }
  return Sum(hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)));
}

void RmsNormRow(const float* x, const float* weight, float eps, float* y, int64_t n) {
  const F32Tag d;
  const float square_sum =
      SumOf(x, n, 0.0f, [](F32Vec v, F32Vec sum) HWY_ATTR { return hn::MulAdd(v, v, sum); });
  const float scale = 1.0f / std::sqrt(square_sum / static_cast<float>(n) + eps);
  ForEachVector(n, [&](int64_t i, int64_t count) HWY_ATTR {
    const auto scaled = hn::Mul(LoadUpTo(x + i, count), hn::Set(d, scale));
    StoreUpTo(hn::Mul(scaled, LoadUpTo(weight + i, count)), y + i, count);
  });
}

void LayerNormRow(const float* x, const float* weight, const float* bias, float eps, float* y,
                  int64_t n) {
  const F32Tag d;
  const float count_f = static_cast<float>(n);
  const float sum = SumOf(x, n, 0.0f, [](F32Vec v, F32Vec s) HWY_ATTR { return hn::Add(v, s); });
  const float mean_f = sum / count_f;
  const auto mean = hn::Set(d, mean_f);
  const float square_sum = SumOf(x, n, mean_f, [&](F32Vec v, F32Vec s) HWY_ATTR {
    const auto centred = hn::Sub(v, mean);
    return hn::MulAdd(centred, centred, s);
  });
  const auto scale = hn::Set(d, 1.0f / std::sqrt(square_sum / count_f + eps));
  ForEachVector(n, [&](int64_t i, int64_t count) HWY_ATTR {
    const auto normal = hn::Mul(hn::Sub(LoadUpTo(x + i, count), mean), scale);
    StoreUpTo(hn::MulAdd(normal, LoadUpTo(weight + i, count), LoadUpTo(bias + i, count)), y + i,
              count);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace unswift
HWY_AFTER_NAMESPACE();
