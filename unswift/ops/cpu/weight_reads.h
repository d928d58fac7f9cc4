// How the streaming kernels read weights for a single row of activations.
#pragma once

#include <optional>

namespace unswift {

/// Weights come in streams, rows that lie far apart, which a kernel reads side by side. What is
/// fastest depends on the processor's own prefetchers.
enum class WeightReads {
  kFar,    ///< two to four streams, prefetched 2 KB ahead or more (Zen 5)
  kNear,   ///< eight streams, prefetched 1 KB ahead (Sapphire Rapids)
  kPlain,  ///< four to eight streams, what the processor prefetches alone (Zen 4)
};

/// Of this processor, or what a test asked for.
WeightReads CurrentWeightReads();
void ForceWeightReadsForTest(std::optional<WeightReads> reads);

}  // namespace unswift
