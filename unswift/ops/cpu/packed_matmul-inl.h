// The streaming matmul of packed weights in float32: a lane is a row, so 16 rows are 16 / kLanes
// vectors, and a weight byte becomes a float by shifts. Compiled once per Highway target.
#include "unswift/ops/cpu/matmul_kernel.h"
#include "unswift/ops/cpu/simd-inl.h"
#include "unswift/tensor/packed.h"

HWY_BEFORE_NAMESPACE();
namespace unswift {
namespace HWY_NAMESPACE {

using WordTag = hn::RebindToUnsigned<F32Tag>;
using WordVec = hn::Vec<WordTag>;

constexpr int64_t kPackedScaleBytes = 2 * kPackedRows;
constexpr int kMaxPackedCols = 4;  // activation rows of one pass

/// Four stored bytes per row, from any address.
HWY_INLINE WordVec LoadWords(const std::byte* from) {
#if UNSWIFT_PORTABLE_TARGET
  HWY_ALIGN uint32_t words[kLanes];
  std::memcpy(words, from, sizeof(words));
  return hn::Load(WordTag(), words);
#else
  return hn::LoadU(WordTag(), reinterpret_cast<const uint32_t*>(from));
#endif
}

HWY_INLINE F32Vec LoadScales(const std::byte* from) {
#if UNSWIFT_PORTABLE_TARGET
  HWY_ALIGN float scales[kLanes];
  RowToF32(DType::kF16, from, scales);
  return hn::Load(F32Tag(), scales);
#else
  const hn::Rebind<hwy::float16_t, F32Tag> half;
  return hn::PromoteTo(F32Tag(), hn::LoadU(half, reinterpret_cast<const hwy::float16_t*>(from)));
#endif
}

/// The signed value whose top bit is bit kTop of each word.
template <int kTop, int kBits>
HWY_INLINE F32Vec SignedField(WordVec words) {
  const hn::RebindToSigned<WordTag> di;
  const auto top = hn::BitCast(di, hn::ShiftLeft<31 - kTop>(words));
  return hn::ConvertTo(F32Tag(), hn::ShiftRight<32 - kBits>(top));
}

/// Calls fn(k, weights of column k as floats, not yet scaled) for the columns of a tile. rows: the
/// first byte of the lanes' rows in part 0. Without the stored offset a value is two's complement.
struct Q8Columns {
  static constexpr int64_t kTileBytes = 544;
  template <class Fn>
  static HWY_INLINE void ForEach(const std::byte* rows, const Fn& fn) {
    for (int v = 0; v < 8; ++v) {
      const auto w = hn::Xor(LoadWords(rows + 64 * v), hn::Set(WordTag(), 0x80808080u));
      fn(4 * v, SignedField<7, 8>(w));
      fn(4 * v + 1, SignedField<15, 8>(w));
      fn(4 * v + 2, SignedField<23, 8>(w));
      fn(4 * v + 3, SignedField<31, 8>(w));
    }
  }
};

struct Q4Columns {
  static constexpr int64_t kTileBytes = 288;
  template <class Fn>
  static HWY_INLINE void ForEach(const std::byte* rows, const Fn& fn) {
    for (int v = 0; v < 4; ++v) {
      const auto w = hn::Xor(LoadWords(rows + 64 * v), hn::Set(WordTag(), 0x88888888u));
      fn(8 * v, SignedField<3, 4>(w));
      fn(8 * v + 1, SignedField<11, 4>(w));
      fn(8 * v + 2, SignedField<19, 4>(w));
      fn(8 * v + 3, SignedField<27, 4>(w));
      fn(8 * v + 4, SignedField<7, 4>(w));
      fn(8 * v + 5, SignedField<15, 4>(w));
      fn(8 * v + 6, SignedField<23, 4>(w));
      fn(8 * v + 7, SignedField<31, 4>(w));
    }
  }
};

/// The rows [lane, lane + kLanes) of one group for kCols activation rows from m_begin on.
template <class W, int kCols>
HWY_NOINLINE void PackedLanes(const SkinnyMatMul& op, int64_t group, int64_t lane,
                              int64_t m_begin) {
  const int64_t k = op.weight.cols;
  const float* HWY_RESTRICT x = op.x + m_begin * op.x_stride;
  const std::byte* tile = op.weight.data + group * kPackedRows * op.weight.row_bytes;
  F32Vec sum[kCols];
  for (int c = 0; c < kCols; ++c) sum[c] = hn::Zero(F32Tag());
  for (int64_t begin = 0; begin < k; begin += kQuantBlockSize, tile += W::kTileBytes) {
    for (int64_t line = 0; line < W::kTileBytes; line += 64) hwy::Prefetch(tile + 2048 + line);
    F32Vec part[kCols];
    for (int c = 0; c < kCols; ++c) part[c] = hn::Zero(F32Tag());
    W::ForEach(tile + kPackedScaleBytes + 4 * lane, [&](int64_t column, F32Vec weights) HWY_ATTR {
      for (int c = 0; c < kCols; ++c) {
        const auto value = hn::Set(F32Tag(), x[c * op.x_stride + begin + column]);
        part[c] = hn::MulAdd(weights, value, part[c]);
      }
    });
    const auto scales = LoadScales(tile + 2 * lane);
    for (int c = 0; c < kCols; ++c) sum[c] = hn::MulAdd(part[c], scales, sum[c]);
  }
  const int64_t n = group * kPackedRows + lane;
  const int64_t count = HWY_MIN(kLanes, op.weight.rows - n);
  for (int c = 0; c < kCols && count > 0; ++c) {
    float* y = op.y.data + (m_begin + c) * op.y.stride + n;
    if (op.bias != nullptr) sum[c] = hn::Add(sum[c], LoadUpTo(op.bias + n, count));
    if (op.accumulate) sum[c] = hn::Add(LoadUpTo(y, count), sum[c]);
    StoreUpTo(sum[c], y, count);
  }
}

template <class W>
void PackedRangeOf(const SkinnyMatMul& op, int64_t group_begin, int64_t group_end) {
  using LanesFunction = void (*)(const SkinnyMatMul&, int64_t, int64_t, int64_t);
  static constexpr LanesFunction kFunctions[kMaxPackedCols] = {
      PackedLanes<W, 1>, PackedLanes<W, 2>, PackedLanes<W, 3>, PackedLanes<W, 4>};
  for (int64_t group = group_begin; group < group_end; ++group) {
    for (int64_t m = 0; m < op.y.rows; m += kMaxPackedCols) {
      const auto lanes = kFunctions[HWY_MIN(op.y.rows - m, int64_t{kMaxPackedCols}) - 1];
      for (int64_t lane = 0; lane < kPackedRows; lane += kLanes) lanes(op, group, lane, m);
    }
  }
}

void PackedRange(const SkinnyMatMul& op, int64_t group_begin, int64_t group_end) {
  if (op.weight.dtype == DType::kQ8_0) {
    return PackedRangeOf<Q8Columns>(op, group_begin, group_end);
  }
  PackedRangeOf<Q4Columns>(op, group_begin, group_end);
}

}  // namespace HWY_NAMESPACE
}  // namespace unswift
HWY_AFTER_NAMESPACE();
