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
  for (int r = 0; r < std::max(repetitions, 1); ++r) {
    for (const int num_streams : {2, 4, 8}) {
      const auto start = std::chrono::steady_clock::now();
      pool.RunOnAll([&](int thread) {
        sink ^= HWY_DYNAMIC_DISPATCH(ReadAll)(data + thread * part, part, num_streams);
      });
      const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
      best = std::max(best, static_cast<double>(total) / elapsed.count());
    }
  }
  return best;
}

}  // namespace unswift
#endif  // HWY_ONCE
