// What all kernels share. Compiled once per Highway target.
#if defined(UNSWIFT_OPS_CPU_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef UNSWIFT_OPS_CPU_SIMD_INL_H_
#undef UNSWIFT_OPS_CPU_SIMD_INL_H_
#else
#define UNSWIFT_OPS_CPU_SIMD_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "unswift/tensor/convert.h"
#include "unswift/tensor/dtype.h"

// Highway's fallbacks for a CPU without any of the vector targets (which one depends on the
// compiler).
#undef UNSWIFT_PORTABLE_TARGET
#define UNSWIFT_PORTABLE_TARGET (HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128)

HWY_BEFORE_NAMESPACE();
namespace unswift {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using F32Tag = hn::ScalableTag<float>;
using F32Vec = hn::Vec<F32Tag>;

// Scalable targets (SVE, RVV) are not generated, so the lane count is a constant and vectors may
// stand in arrays.
inline constexpr int64_t kLanes = HWY_LANES(float);

HWY_INLINE F32Vec LoadFloats(const float* p) { return hn::LoadU(F32Tag(), p); }
HWY_INLINE void StoreFloats(F32Vec v, float* p) { hn::StoreU(v, F32Tag(), p); }

/// The first count < kLanes values, zeros behind them.
HWY_INLINE F32Vec LoadFirst(const float* p, int64_t count) {
  HWY_ALIGN float lanes[kLanes] = {};
  std::memcpy(lanes, p, count * sizeof(float));
  return hn::Load(F32Tag(), lanes);
}
HWY_INLINE void StoreFirst(F32Vec v, float* p, int64_t count) {
  HWY_ALIGN float lanes[kLanes];
  hn::Store(v, F32Tag(), lanes);
  std::memcpy(p, lanes, count * sizeof(float));
}

/// Calls fn(load, store, i) over [0, n): whole vectors, then one partial vector.
/// y[i] = fn(i-th vector of each input) is then one lambda for both.
template <class Fn>
HWY_INLINE void ForEachVector(int64_t n, const Fn& fn) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) fn(i, kLanes);
  if (i < n) fn(i, n - i);
}
HWY_INLINE F32Vec LoadUpTo(const float* p, int64_t count) {
  return count == kLanes ? LoadFloats(p) : LoadFirst(p, count);
}
HWY_INLINE void StoreUpTo(F32Vec v, float* p, int64_t count) {
  if (count == kLanes) {
    StoreFloats(v, p);
  } else {
    StoreFirst(v, p, count);
  }
}

HWY_INLINE float Sum(F32Vec v) { return hn::GetLane(hn::SumOfLanes(F32Tag(), v)); }

// Stored elements, 2 * kLanes of them (a "chunk") as two float vectors, from any address. Portable
// targets dereference a T* and have conversions of their own, so they take the scalar definitions.

struct F32Storage {
  static constexpr int64_t kBytes = 4;
  static HWY_INLINE void LoadChunk(const std::byte* p, F32Vec& a, F32Vec& b) {
#if UNSWIFT_PORTABLE_TARGET
    HWY_ALIGN float values[2 * kLanes];
    std::memcpy(values, p, sizeof(values));
    a = hn::Load(F32Tag(), values);
    b = hn::Load(F32Tag(), values + kLanes);
#else
    const float* from = reinterpret_cast<const float*>(p);
    a = LoadFloats(from);
    b = LoadFloats(from + kLanes);
#endif
  }
};

struct F16Storage {
  static constexpr int64_t kBytes = 2;
  static HWY_INLINE void LoadChunk(const std::byte* p, F32Vec& a, F32Vec& b) {
#if UNSWIFT_PORTABLE_TARGET
    HWY_ALIGN float values[2 * kLanes];
    RowToF32(DType::kF16, p, values);
    a = hn::Load(F32Tag(), values);
    b = hn::Load(F32Tag(), values + kLanes);
#else
    const hn::Rebind<hwy::float16_t, F32Tag> half;
    const auto* from = reinterpret_cast<const hwy::float16_t*>(p);
    a = hn::PromoteTo(F32Tag(), hn::LoadU(half, from));
    b = hn::PromoteTo(F32Tag(), hn::LoadU(half, from + kLanes));
#endif
  }
};

/// Even elements in a, odd ones in b: one shift and one mask instead of two widening shuffles.
struct BF16Storage {
  static constexpr int64_t kBytes = 2;
  static HWY_INLINE void LoadChunk(const std::byte* p, F32Vec& a, F32Vec& b) {
#if UNSWIFT_PORTABLE_TARGET
    HWY_ALIGN float values[2 * kLanes];
    RowToF32(DType::kBF16, p, values);
    hn::LoadInterleaved2(F32Tag(), values, a, b);
#else
    const hn::ScalableTag<uint16_t> d16;
    const hn::ScalableTag<uint32_t> d32;
    auto pairs = hn::BitCast(d32, hn::LoadU(d16, reinterpret_cast<const uint16_t*>(p)));
#if HWY_ARCH_X86
    // One load: compilers turn it into a memory operand of each of the two below, which is twice as
    // many loads that cross cache lines (checkpoints align to 8 bytes; 23 against 33 GB/s on Zen
    // 5).
    asm("" : "+v"(pairs.raw));
#endif
    a = hn::BitCast(F32Tag(), hn::ShiftLeft<16>(pairs));
    b = hn::BitCast(F32Tag(), hn::And(pairs, hn::Set(d32, 0xffff0000u)));
#endif
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace unswift
HWY_AFTER_NAMESPACE();

#endif  // toggle
