// Working memory that is reused from call to call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

#include "hwy/aligned_allocator.h"

namespace unswift {

/// Grows to the largest size asked for; contents are lost when it grows. 128-byte aligned, not
/// initialised.
class AlignedBuffer {
 public:
  /// Throws std::bad_alloc, as containers do.
  float* Get(int64_t count) {
    if (count > size_) {
      data_.reset();  // before the new one exists: the peak is one buffer, not two
      size_ = 0;
      data_ = hwy::AllocateAligned<float>(static_cast<size_t>(count));
      if (data_ == nullptr) throw std::bad_alloc();
      size_ = count;
    }
    return data_.get();
  }

 private:
  hwy::AlignedFreeUniquePtr<float[]> data_;
  int64_t size_ = 0;
};

}  // namespace unswift
