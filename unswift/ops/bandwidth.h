// What the machine can deliver: the yardstick of every speed figure.
#pragma once

#include <cstdint>

#include "unswift/base/thread_pool.h"

namespace unswift {

/// Reads `bytes` of freshly written memory `repetitions` times with all threads of the pool, each a
/// contiguous part, in several ways, and returns the best rate in bytes per second. On huge pages,
/// where CopyWeights puts weights: 4 KB pages would give a limit that decoding exceeds. bytes
/// should exceed the last-level cache several times. Cost: bytes of anonymous memory while it runs.
double MeasureReadBandwidth(int64_t bytes, int repetitions, ThreadPool& pool);

}  // namespace unswift
