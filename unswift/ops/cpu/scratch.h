// Reusable aligned working memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "hwy/aligned_allocator.h"
#include "unswift/base/integers.h"

namespace unswift {

/// Grows to the largest size asked for; contents are lost when it grows.
class AlignedBuffer {
 public:
  float* Get(int64_t count) {
    if (count > size_) {
      data_.reset();  // before the new one exists: the peak is one buffer, not two
      data_ = hwy::AllocateAligned<float>(static_cast<size_t>(count));
      size_ = count;
    }
    return data_.get();
  }

 private:
  hwy::AlignedFreeUniquePtr<float[]> data_;
  int64_t size_ = 0;
};

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
