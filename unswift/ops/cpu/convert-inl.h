// Row conversions. Compiled once per Highway target.
#include "unswift/ops/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unswift {
namespace HWY_NAMESPACE {

#if UNSWIFT_PORTABLE_TARGET
// The scalar definitions are this target's kernels.

inline void RowToF32Kernel(DType dtype, const std::byte* row, float* out, int64_t count) {
  RowToF32(dtype, row, {out, static_cast<size_t>(count)});
}
inline void RowFromF32Kernel(DType dtype, const float* row, int64_t count, std::byte* out) {
  RowFromF32(dtype, {row, static_cast<size_t>(count)}, out);
}

template <class T>
bool ExponentsFinite(T exponent_mask, const std::byte* data, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    T bits;
    std::memcpy(&bits, data + i * sizeof(T), sizeof(T));
    if ((bits & exponent_mask) == exponent_mask) return false;
  }
  return true;
}

#else

template <class WidenVector>
HWY_INLINE void WidenRow16(const std::byte* row, float* out, int64_t count,
                           const WidenVector& widen) {
  const hn::Rebind<uint16_t, F32Tag> d16;
  const auto* from = reinterpret_cast<const uint16_t*>(row);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) StoreFloats(widen(hn::LoadU(d16, from + i)), out + i);
  if (i < count) {
    HWY_ALIGN uint16_t lanes[kLanes] = {};
    std::memcpy(lanes, from + i, (count - i) * sizeof(uint16_t));
    StoreFirst(widen(hn::Load(d16, lanes)), out + i, count - i);
  }
}

inline void RowToF32Kernel(DType dtype, const std::byte* row, float* out, int64_t count) {
  const hn::Rebind<uint32_t, F32Tag> d32;
  const hn::Rebind<hwy::float16_t, F32Tag> half;
  switch (dtype) {
    case DType::kF16:
      return WidenRow16(row, out, count, [&](auto bits) HWY_ATTR {
        return hn::PromoteTo(F32Tag(), hn::BitCast(half, bits));
      });
    case DType::kBF16:
      return WidenRow16(row, out, count, [&](auto bits) HWY_ATTR {
        return hn::BitCast(F32Tag(), hn::ShiftLeft<16>(hn::PromoteTo(d32, bits)));
      });
    default:
      return RowToF32(dtype, row, {out, static_cast<size_t>(count)});
  }
}

template <class NarrowVector>
HWY_INLINE void NarrowRow16(const float* row, int64_t count, std::byte* out,
                            const NarrowVector& narrow) {
  const hn::Rebind<uint16_t, F32Tag> d16;
  auto* to = reinterpret_cast<uint16_t*>(out);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) hn::StoreU(narrow(LoadFloats(row + i)), d16, to + i);
  if (i < count) {
    HWY_ALIGN uint16_t lanes[kLanes];
    hn::Store(narrow(LoadFirst(row + i, count - i)), d16, lanes);
    std::memcpy(to + i, lanes, (count - i) * sizeof(uint16_t));
  }
}

/// Nearest even by adding half of the last kept place; NaN keeps its upper payload, made quiet.
template <class V>
HWY_INLINE auto BF16Bits(V value) {
  const hn::Rebind<uint32_t, F32Tag> d32;
  const hn::Rebind<int32_t, F32Tag> di32;
  const hn::Rebind<uint16_t, F32Tag> d16;
  const auto bits = hn::BitCast(d32, value);
  const auto upper = hn::ShiftRight<16>(bits);
  const auto odd = hn::And(upper, hn::Set(d32, 1u));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(d32, 0x7fffu))));
  const auto quiet = hn::Or(upper, hn::Set(d32, 0x40u));
  const auto is_nan = hn::RebindMask(d32, hn::IsNaN(value));
  return hn::DemoteTo(d16, hn::BitCast(di32, hn::IfThenElse(is_nan, quiet, rounded)));
}

inline void RowFromF32Kernel(DType dtype, const float* row, int64_t count, std::byte* out) {
  const hn::Rebind<hwy::float16_t, F32Tag> half;
  const hn::Rebind<uint16_t, F32Tag> d16;
  switch (dtype) {
    case DType::kF16:
      return NarrowRow16(row, count, out, [&](F32Vec v) HWY_ATTR {
        return hn::BitCast(d16, hn::DemoteTo(half, v));
      });
    case DType::kBF16:
      return NarrowRow16(row, count, out, [&](F32Vec v) HWY_ATTR { return BF16Bits(v); });
    default:
      return RowFromF32(dtype, {row, static_cast<size_t>(count)}, out);
  }
}

/// A value is not finite exactly when its exponent field is all ones; the largest field tells.
template <class T>
bool ExponentsFinite(T exponent_mask, const std::byte* data, int64_t count) {
  const hn::ScalableTag<T> d;
  constexpr int64_t kCount = HWY_LANES(T);
  const auto mask = hn::Set(d, exponent_mask);
  const auto* from = reinterpret_cast<const T*>(data);
  auto largest = hn::Zero(d);
  int64_t i = 0;
  for (; i + kCount <= count; i += kCount) {
    largest = hn::Max(largest, hn::And(mask, hn::LoadU(d, from + i)));
  }
  HWY_ALIGN T lanes[kCount] = {};
  std::memcpy(lanes, from + i, (count - i) * sizeof(T));
  largest = hn::Max(largest, hn::And(mask, hn::Load(d, lanes)));
  return hn::AllFalse(d, hn::Eq(largest, mask));
}

#endif  // UNSWIFT_PORTABLE_TARGET

inline bool AllFiniteKernel(DType dtype, const std::byte* data, int64_t count) {
  switch (dtype) {
    case DType::kF32:
      return ExponentsFinite<uint32_t>(0x7f800000u, data, count);
    case DType::kF16:
      return ExponentsFinite<uint16_t>(0x7c00u, data, count);
    default:
      return ExponentsFinite<uint16_t>(0x7f80u, data, count);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace unswift
HWY_AFTER_NAMESPACE();
