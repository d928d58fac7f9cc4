// Reusable aligned working memory.
#pragma once

#include <cstdint>

#include "unswift/base/integers.h"
#include "unswift/ops/aligned_buffer.h"

namespace unswift {

/// One owner per slot, so that an op may call another that has scratch of its own.
enum class ScratchSlot {
  kActivations,
  kWidenedTile,
  kPackedActivations,
  kPackedWeights,
  kGemmSums,
  kPackedRow,
  kAttentionPartials,
  kAttentionWork,
  kPackedKeys,
  kPackedValues,
  kSeriesFeatures,
  kNumSlots,
};

/// Memory of the calling thread, kept until the thread ends. 128-byte aligned, not initialised.
inline float* ThreadScratch(ScratchSlot slot, int64_t count) {
  thread_local AlignedBuffer buffers[static_cast<int>(ScratchSlot::kNumSlots)];
  return buffers[static_cast<int>(slot)].Get(count);
}

/// The same for 16-bit elements (bf16).
inline uint16_t* ThreadScratch16(ScratchSlot slot, int64_t count) {
  return reinterpret_cast<uint16_t*>(ThreadScratch(slot, CeilDiv(count, 2)));
}

}  // namespace unswift
