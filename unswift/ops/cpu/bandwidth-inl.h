// Plain reading at full speed. Compiled once per Highway target.
#include <iterator>

#include "unswift/ops/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unswift {
namespace HWY_NAMESPACE {

/// Reads every byte once through kStreams parts side by side and returns a value that depends on
/// all of them. One sequential stream does not reach the limit: prefetchers stop at page ends.
template <int kStreams, int kAheadBytes>
uint64_t ReadStreams(const std::byte* data, int64_t num_bytes) {
  const hn::ScalableTag<uint64_t> d;
  constexpr int64_t kWidth = HWY_LANES(uint64_t);
  constexpr int64_t kPrefetchWords = kAheadBytes / sizeof(uint64_t);
  const auto* words = reinterpret_cast<const uint64_t*>(data);
  const int64_t distance = num_bytes / static_cast<int64_t>(sizeof(uint64_t)) / kStreams;
  hn::Vec<decltype(d)> all[kStreams];
  for (auto& v : all) v = hn::Zero(d);
  for (int64_t i = 0; i < distance; i += kWidth) {
    HWY_UNROLL(8)
    for (int s = 0; s < kStreams; ++s) {
      const uint64_t* from = words + s * distance + i;
      if constexpr (kAheadBytes > 0) hwy::Prefetch(from + kPrefetchWords);
      all[s] = hn::Xor(all[s], hn::LoadU(d, from));
    }
  }
  HWY_ALIGN uint64_t lanes[kStreams * kWidth];
  for (int s = 0; s < kStreams; ++s) hn::Store(all[s], d, lanes + s * kWidth);
  uint64_t result = 0;
  for (const uint64_t lane : lanes) result ^= lane;
  return result;
}

/// Those in which matmul-inl.h reads weights.
using ReadFunction = uint64_t (*)(const std::byte*, int64_t);
constexpr ReadFunction kReadWays[] = {ReadStreams<2, 2048>, ReadStreams<4, 2048>,
                                      ReadStreams<8, 1024>, ReadStreams<4, 0>, ReadStreams<8, 0>};

int NumReadWays() { return static_cast<int>(std::size(kReadWays)); }

/// num_bytes is a multiple of 8 * 64.
uint64_t ReadAll(const std::byte* data, int64_t num_bytes, int way) {
  return kReadWays[way](data, num_bytes);
}

}  // namespace HWY_NAMESPACE
}  // namespace unswift
HWY_AFTER_NAMESPACE();
