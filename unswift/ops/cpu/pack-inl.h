// Packing and unpacking of quantised rows. Compiled once per Highway target.
#include "unswift/ops/cpu/pack_kernel.h"
#include "unswift/ops/cpu/simd-inl.h"
#include "unswift/tensor/packed.h"

HWY_BEFORE_NAMESPACE();
namespace unswift {
namespace HWY_NAMESPACE {

using IntTag = hn::RebindToSigned<F32Tag>;
using ByteTag = hn::Rebind<uint8_t, F32Tag>;
constexpr int64_t kBlockSize = kQuantBlockSize;
constexpr int64_t kBlockVectors = kBlockSize / kLanes;
constexpr int64_t kTileScaleBytes = 2 * kPackedRows;

/// Nearest integer, halves away from zero: what std::lround gives.
HWY_INLINE hn::Vec<IntTag> RoundAway(F32Vec v) {
  const F32Tag d;
  const auto magnitude = hn::Abs(v);
  const auto below = hn::Floor(magnitude);
  const auto up = hn::Ge(hn::Sub(magnitude, below), hn::Set(d, 0.5f));
  const auto rounded = hn::Add(below, hn::IfThenElseZero(up, hn::Set(d, 1.0f)));
  return hn::ConvertTo(IntTag(), hn::CopySign(rounded, v));
}

/// The scale, before it is rounded to f16, and the offset integers of one block.
struct Q8Block {
  static HWY_INLINE float Scale(const float* x) {
    auto largest = hn::Zero(F32Tag());
    for (int64_t i = 0; i < kBlockSize; i += kLanes) {
      largest = hn::Max(largest, hn::Abs(hn::Load(F32Tag(), x + i)));
    }
    return hn::GetLane(hn::MaxOfLanes(F32Tag(), largest)) / 127.0f;
  }
  static HWY_INLINE hn::Vec<IntTag> Quantise(F32Vec x, float inverse) {
    return RoundAway(hn::Mul(x, hn::Set(F32Tag(), inverse)));
  }
  static constexpr int kOffset = 128;
};

struct Q4Block {
  static HWY_INLINE float Scale(const float* x) {
    auto most = hn::Zero(F32Tag()), least = most;
    for (int64_t i = 0; i < kBlockSize; i += kLanes) {
      most = hn::Max(most, hn::Load(F32Tag(), x + i));
      least = hn::Min(least, hn::Load(F32Tag(), x + i));
    }
    const float high = hn::GetLane(hn::MaxOfLanes(F32Tag(), most));
    const float low = hn::GetLane(hn::MinOfLanes(F32Tag(), least));
    if (high != -low) return (high > -low ? high : low) / -8.0f;
    for (int64_t i = 0; i < kBlockSize; ++i) {  // the first of two extremes decides
      if (x[i] == high || x[i] == low) return x[i] / -8.0f;
    }
    return 0.0f;
  }
  static HWY_INLINE hn::Vec<IntTag> Quantise(F32Vec x, float inverse) {
    const IntTag di;
    const auto shifted = hn::MulAdd(x, hn::Set(F32Tag(), inverse), hn::Set(F32Tag(), 8.5f));
    const auto clamped =
        hn::Min(hn::Max(hn::ConvertTo(di, shifted), hn::Zero(di)), hn::Set(di, 15));
    return hn::Sub(clamped, hn::Set(di, 8));
  }
  static constexpr int kOffset = 8;
};

/// Quantises one block; the 32 stored bytes (value + offset) in column order.
template <class Q>
HWY_INLINE uint16_t QuantiseBlock(const float* x, uint8_t* bytes, PackSums& sums) {
  const F32Tag d;
  const float scale = Q::Scale(x);
  const float inverse = scale == 0.0f ? 0.0f : 1.0f / scale;
  const uint16_t stored_scale = F32ToF16(scale);
  const auto step = hn::Set(d, F16ToF32(stored_scale));
  auto error = hn::Zero(d), total = hn::Zero(d);
  for (int64_t i = 0; i < kBlockSize; i += kLanes) {
    const auto value = hn::Load(d, x + i);
    const auto quantised = Q::Quantise(value, inverse);
    const auto lost = hn::NegMulAdd(hn::ConvertTo(d, quantised), step, value);
    error = hn::MulAdd(lost, lost, error);
    total = hn::MulAdd(value, value, total);
    const auto offset = hn::Add(quantised, hn::Set(IntTag(), Q::kOffset));
    hn::Store(hn::DemoteTo(ByteTag(), offset), ByteTag(), bytes + i);
  }
  sums.error += Sum(error);
  sums.total += Sum(total);
  return stored_scale;
}

/// One row of a group. x: whole blocks, aligned.
template <class Q>
void PackRowOf(const float* x, int64_t blocks, int64_t row, int64_t tile_bytes, std::byte* group,
               PackSums& sums) {
  HWY_ALIGN uint8_t bytes[kBlockSize];
  for (int64_t b = 0; b < blocks; ++b) {
    std::byte* const tile = group + b * tile_bytes;
    const uint16_t scale = QuantiseBlock<Q>(x + b * kBlockSize, bytes, sums);
    std::memcpy(tile + 2 * row, &scale, sizeof(scale));
    std::byte* const to = tile + kTileScaleBytes + 4 * row;
    if (Q::kOffset == 128) {
      for (int v = 0; v < 8; ++v) std::memcpy(to + 64 * v, bytes + 4 * v, 4);
      continue;
    }
    for (int v = 0; v < 4; ++v) {
      uint32_t low, high;
      std::memcpy(&low, bytes + 8 * v, 4);
      std::memcpy(&high, bytes + 8 * v + 4, 4);
      low |= high << 4;
      std::memcpy(to + 64 * v, &low, 4);
    }
  }
}

PackSums PackRowKernel(DType dtype, const float* x, int64_t blocks, int64_t row, std::byte* group) {
  PackSums sums;
  if (dtype == DType::kQ8_0) {
    PackRowOf<Q8Block>(x, blocks, row, PackedTileBytes(dtype), group, sums);
  } else {
    PackRowOf<Q4Block>(x, blocks, row, PackedTileBytes(dtype), group, sums);
  }
  return sums;
}

/// Widens one row of one group, whole blocks. out: aligned or not.
void UnpackRowKernel(DType dtype, const std::byte* group, int64_t row, int64_t blocks, float* out) {
  const IntTag di;
  const bool q8 = dtype == DType::kQ8_0;
  const auto offset = hn::Set(di, q8 ? 128 : 8);
  HWY_ALIGN uint8_t bytes[kBlockSize];
  for (int64_t b = 0; b < blocks; ++b, out += kBlockSize) {
    const std::byte* const tile = group + b * PackedTileBytes(dtype);
    const std::byte* const from = tile + kTileScaleBytes + 4 * row;
    if (q8) {
      for (int v = 0; v < 8; ++v) std::memcpy(bytes + 4 * v, from + 64 * v, 4);
    } else {
      for (int v = 0; v < 4; ++v) {
        uint32_t packed;
        std::memcpy(&packed, from + 64 * v, 4);
        const uint32_t low = packed & 0x0f0f0f0fu, high = packed >> 4 & 0x0f0f0f0fu;
        std::memcpy(bytes + 8 * v, &low, 4);
        std::memcpy(bytes + 8 * v + 4, &high, 4);
      }
    }
    uint16_t scale_bits;
    std::memcpy(&scale_bits, tile + 2 * row, sizeof(scale_bits));
    const auto scale = hn::Set(F32Tag(), F16ToF32(scale_bits));
    for (int64_t i = 0; i < kBlockSize; i += kLanes) {
      const auto value = hn::Sub(hn::PromoteTo(di, hn::Load(ByteTag(), bytes + i)), offset);
      StoreFloats(hn::Mul(hn::ConvertTo(F32Tag(), value), scale), out + i);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace unswift
HWY_AFTER_NAMESPACE();
