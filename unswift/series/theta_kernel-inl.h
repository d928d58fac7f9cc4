// Rounds blocks of Theta, handing what is lost to the higher orders. Compiled once per Highway
// target.
#include <cstring>
#include <type_traits>
#include <utility>

#include "hwy/highway.h"
#include "unswift/series/theta_kernel.h"

HWY_BEFORE_NAMESPACE();
namespace unswift {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using ThetaTag = hn::CappedTag<float, kThetaLanes>;
using ThetaVec = hn::Vec<ThetaTag>;
using BitsTag = hn::RebindToUnsigned<ThetaTag>;
using BitsVec = hn::Vec<BitsTag>;

/// A rounded value and the bits to store.
template <class Bits>
struct Rounded {
  ThetaVec value;
  Bits bits;
};

/// Bit for bit F32ToBf16 of tensor/convert.h on values that are not NaN.
struct RoundBf16 {
  using Stored = uint16_t;
  using Tag = hn::Rebind<uint16_t, ThetaTag>;
  static constexpr uint32_t kOverflow = 0x7f7f8000u;  // magnitudes from here on become infinite

  static HWY_INLINE Rounded<hn::Vec<Tag>> Run(ThetaVec v) {
    const BitsTag du;
    const auto bits = hn::BitCast(du, v);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
    const auto high = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fff))));
    return {hn::BitCast(ThetaTag(), hn::ShiftLeft<16>(high)), NarrowBits(high)};
  }
  static HWY_INLINE hn::Vec<Tag> NarrowBits(BitsVec bits) {
    return hn::DemoteTo(Tag(), hn::BitCast(hn::RebindToSigned<BitsTag>(), bits));
  }
};

/// Bit for bit F32ToF16 of tensor/convert.h on values that are not NaN.
struct RoundF16 {
  using Stored = uint16_t;
  using Tag = hn::Rebind<uint16_t, ThetaTag>;
  static constexpr uint32_t kOverflow = 0x477ff000u;

#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  static HWY_INLINE Rounded<hn::Vec<Tag>> Run(ThetaVec v) {
    const hn::Rebind<hwy::float16_t, ThetaTag> half;
    const auto rounded = hn::DemoteTo(half, v);
    return {hn::PromoteTo(ThetaTag(), rounded), hn::BitCast(Tag(), rounded)};
  }
#else
  static HWY_INLINE Rounded<hn::Vec<Tag>> Run(ThetaVec v) {
    const BitsTag du;
    const ThetaTag d;
    const auto bits = hn::BitCast(du, v);
    const auto sign = hn::And(bits, hn::Set(du, 0x80000000u));
    const auto magnitude = hn::Xor(bits, sign);
    // Normal half: 13 bits fewer. Below 2^-14 a multiple of 2^-24, made by adding 0.5.
    const auto odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(du, 1));
    const auto kept = hn::ShiftRight<13>(hn::Add(magnitude, hn::Add(odd, hn::Set(du, 0xfff))));
    const auto normal = hn::Sub(kept, hn::Set(du, 112u << 10));
    const auto half = hn::Set(d, 0.5f);
    const auto shifted = hn::Add(hn::BitCast(d, magnitude), half);
    const auto subnormal = hn::Sub(hn::BitCast(du, shifted), hn::Set(du, 0x3f000000u));
    const auto is_small = hn::Lt(magnitude, hn::Set(du, 0x38800000u));
    const auto is_huge = hn::Gt(magnitude, hn::Set(du, kOverflow - 1));
    const auto stored =
        hn::IfThenElse(is_huge, hn::Set(du, 0x7c00u), hn::IfThenElse(is_small, subnormal, normal));
    const auto value =
        hn::IfThenElse(is_small, hn::BitCast(du, hn::Sub(shifted, half)), hn::ShiftLeft<13>(kept));
    return {hn::BitCast(d, hn::Or(value, sign)),
            RoundBf16::NarrowBits(hn::Or(stored, hn::ShiftRight<16>(sign)))};
  }
#endif
};

struct RoundF32 {
  using Stored = uint32_t;
  using Tag = BitsTag;
  static constexpr uint32_t kOverflow = 0x7f800000u;
  static HWY_INLINE Rounded<BitsVec> Run(ThetaVec v) { return {v, hn::BitCast(BitsTag(), v)}; }
};

/// Writes the first `lanes` elements, or all when there are no fewer.
template <class R>
HWY_INLINE void StoreLanes(hn::Vec<typename R::Tag> bits, std::byte* to, int lanes) {
  using Stored = typename R::Stored;
  const typename R::Tag d;
  const int width = static_cast<int>(hn::Lanes(d));
  HWY_ALIGN Stored buffer[kThetaLanes];
  hn::Store(bits, d, buffer);
  if (lanes >= width) {
    std::memcpy(to, buffer, sizeof(Stored) * width);  // a register move
  } else {
    std::memcpy(to, buffer, sizeof(Stored) * lanes);
  }
}

/// Calls fn with the constants 0 .. kThetaRows - 1: arrays indexed by them stay in registers, which
/// a loop does not guarantee.
template <class Fn, size_t... kRows>
HWY_INLINE void ForRowsImpl(const Fn& fn, std::index_sequence<kRows...>) {
  (fn(std::integral_constant<size_t, kRows>()), ...);
}
template <class Fn>
HWY_INLINE void ForRows(const Fn& fn) {
  ForRowsImpl(fn, std::make_index_sequence<kThetaRows>());
}

/// All orders of the lanes from `lane` on. Returns true when an entry overflows or is NaN.
template <class R, bool kCarry>
HWY_INLINE bool RoundVector(const ThetaTask& task, int lane) {
  const ThetaTag d;
  const BitsTag du;
  const int64_t width = static_cast<int64_t>(hn::Lanes(d));
  // What each order lost, the rows of one order side by side.
  HWY_ALIGN float lost[kMostOrders * kThetaRows * kThetaLanes];
  ThetaVec down[kThetaRows], value[kThetaRows];
  ForRows([&](auto r) HWY_ATTR { down[r] = hn::LoadU(d, task.down[r] + lane); });
  const float* HWY_RESTRICT carry = task.carry + (kCarry ? lane : 0);
  float* lost_end = lost;
  auto largest = hn::Zero(du);
  for (int n = task.first_order; n <= task.max_order; ++n) {
    const auto a = hn::Load(d, task.coefficients + n * kThetaLanes + lane);
    ForRows([&](auto r) HWY_ATTR { value[r] = hn::Mul(down[r], a); });
    if (kCarry) {
      for (const float* from = lost; from != lost_end; from += kThetaRows * width) {
        const auto u = hn::Load(d, carry);
        carry += kThetaLanes;
        ForRows([&](auto r) HWY_ATTR {
          value[r] = hn::MulAdd(u, hn::Load(d, from + r * width), value[r]);
        });
      }
    }
    const int lanes = task.lanes[n] - lane;
    const int64_t at = (task.column[n] + lane) * static_cast<int64_t>(sizeof(typename R::Stored));
    ForRows([&](auto r) HWY_ATTR {
      const auto rounded = R::Run(value[r]);
      if (kCarry) hn::Store(hn::Sub(value[r], rounded.value), d, lost_end + r * width);
      const auto magnitude = hn::And(hn::BitCast(du, value[r]), hn::Set(du, 0x7fffffffu));
      largest = hn::Max(largest, magnitude);
      if (lanes > 0 && static_cast<int>(r) < task.rows) {
        StoreLanes<R>(rounded.bits, task.out[r] + at, lanes);
      }
    });
    if (kCarry) lost_end += kThetaRows * width;
  }
  return !hn::AllTrue(du, hn::Lt(largest, hn::Set(du, R::kOverflow)));
}

template <class R>
HWY_INLINE bool RoundBlock(const ThetaTask& task) {
  bool failed = false;
  for (int lane = 0; lane < kThetaLanes; lane += static_cast<int>(hn::Lanes(ThetaTag()))) {
    failed |= task.carry != nullptr ? RoundVector<R, true>(task, lane)
                                    : RoundVector<R, false>(task, lane);
  }
  return failed;
}

/// values = down a + sum over the lower orders of what they lost times U.
HWY_NOINLINE void ThetaValues(const ThetaValuesTask& task) {
  const ThetaTag d;
  constexpr int kOrderFloats = kThetaGroupRows * kThetaBlockUnits;
  for (int lane = 0; lane < kThetaLanes; lane += static_cast<int>(hn::Lanes(d))) {
    const auto a = hn::Load(d, task.coefficients + lane);
    for (int first = 0; first < kThetaGroupRows; first += kThetaRows) {
      ThetaVec value[kThetaRows];
      ForRows([&](auto r)
                  HWY_ATTR { value[r] = hn::Mul(hn::LoadU(d, task.down[first + r] + lane), a); });
      const float* lost = task.lost + first * kThetaBlockUnits + lane;
      for (int m = 0; m < task.lower_orders; ++m, lost += kOrderFloats) {
        const auto u = hn::Load(d, task.carry + m * kThetaLanes + lane);
        ForRows([&](auto r) HWY_ATTR {
          value[r] = hn::MulAdd(u, hn::LoadU(d, lost + r * kThetaBlockUnits), value[r]);
        });
      }
      ForRows([&](auto r) HWY_ATTR {
        hn::StoreU(value[r], d, task.values + (first + r) * kThetaBlockUnits + lane);
      });
    }
  }
}

/// Returns true when an entry overflows or is NaN.
HWY_NOINLINE bool RoundTheta(const ThetaTask& task) {
  switch (task.dtype) {
    case DType::kBF16:
      return RoundBlock<RoundBf16>(task);
    case DType::kF16:
      return RoundBlock<RoundF16>(task);
    default:
      return RoundBlock<RoundF32>(task);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace unswift
HWY_AFTER_NAMESPACE();
