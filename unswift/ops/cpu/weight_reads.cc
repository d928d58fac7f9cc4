#include "unswift/ops/cpu/weight_reads.h"

#include <unistd.h>

#include <atomic>
#include <cstdint>

#include "unswift/ops/cpu/bf16_gemm.h"

namespace unswift {
namespace {

std::atomic<std::optional<WeightReads>> forced;

/// 0 where it is not known.
int64_t FirstLevelCacheBytes() {
#ifdef _SC_LEVEL1_DCACHE_SIZE
  static const int64_t bytes = sysconf(_SC_LEVEL1_DCACHE_SIZE);
  return bytes;
#else
  return 0;
#endif
}

}  // namespace

// The processors that were measured differ in these: tiles (Sapphire Rapids), a first-level cache
// of 32 KB (Zen 4) or more (Zen 5). bench/matmul_bench, m:1, shows whether another is served well.
WeightReads CurrentWeightReads() {
  if (const auto reads = forced.load(std::memory_order_relaxed)) return *reads;
  if (UsesAmx()) return WeightReads::kNear;
  constexpr int64_t kSmallCache = 32 << 10;
  const int64_t cache = FirstLevelCacheBytes();
  return 0 < cache && cache <= kSmallCache ? WeightReads::kPlain : WeightReads::kFar;
}

void ForceWeightReadsForTest(std::optional<WeightReads> reads) { forced = reads; }

}  // namespace unswift
