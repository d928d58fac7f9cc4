#include "unswift/ops/bandwidth.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unswift/ops/cpu/bandwidth-inl.h"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "unswift/ops/cpu/bandwidth-inl.h"

#if HWY_ONCE
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>

#include "unswift/ops/aligned_buffer.h"

namespace unswift {

HWY_EXPORT(ReadAll);
HWY_EXPORT(NumReadWays);

namespace {

// As large as a model's matrices get. Streams through a whole gigabyte would lie 256 or 512 MB
// apart, which a core of a Zen 4 reads a third slower.
constexpr int64_t kMatrixBytes = int64_t{64} << 20;

uint64_t ReadMatrices(const std::byte* data, int64_t num_bytes, int way) {
  uint64_t result = 0;
  for (int64_t begin = 0; begin < num_bytes; begin += kMatrixBytes) {
    const int64_t count = std::min(kMatrixBytes, num_bytes - begin);
    result ^= HWY_DYNAMIC_DISPATCH(ReadAll)(data + begin, count, way);
  }
  return result;
}

}  // namespace

double MeasureReadBandwidth(int64_t bytes, int repetitions, ThreadPool& pool) {
  constexpr int64_t kUnit = 4096;
  const int64_t part = std::max<int64_t>(bytes / pool.num_threads() / kUnit, 1) * kUnit;
  const int64_t total = part * pool.num_threads();
  AlignedBuffer memory;  // on huge pages, as the weights that decoding reads
  std::byte* const data = memory.GetBytes(total);
  // Each thread writes what it will read: the pages exist, and lie on its memory node.
  pool.RunOnAll([&](int thread) { std::memset(data + thread * part, thread + 1, part); });

  std::atomic<uint64_t> sink{0};  // the reads must not be optimised away
  double best = 0.0;
  const int num_ways = HWY_DYNAMIC_DISPATCH(NumReadWays)();
  for (int r = 0; r < std::max(repetitions, 1); ++r) {
    for (int way = 0; way < num_ways; ++way) {
      const auto start = std::chrono::steady_clock::now();
      pool.RunOnAll([&](int thread) { sink ^= ReadMatrices(data + thread * part, part, way); });
      const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
      best = std::max(best, static_cast<double>(total) / elapsed.count());
    }
  }
  return best;
}

}  // namespace unswift
#endif  // HWY_ONCE
