// Working memory that is reused from call to call.
#pragma once

#include <cstddef>
#include <cstdint>

#include "hwy/aligned_allocator.h"

namespace unswift {

/// Grows to the largest size asked for; contents are lost when it grows. 128-byte aligned, not
/// initialised, and where it is large on huge pages if the system gives them: a fresh buffer of
/// small ones costs a page fault for every 4 KB, and a matrix walked by columns a lookup for each
/// row.
class AlignedBuffer {
 public:
  /// Throws std::bad_alloc, as containers do.
  std::byte* GetBytes(int64_t count) {
    if (count > size_) Grow(count);
    return data_.get();
  }
  float* Get(int64_t count) {
    return reinterpret_cast<float*>(GetBytes(count * static_cast<int64_t>(sizeof(float))));
  }
  /// Null at first.
  std::byte* bytes() { return data_.get(); }
  const std::byte* bytes() const { return data_.get(); }

 private:
  void Grow(int64_t count);

  hwy::AlignedFreeUniquePtr<std::byte[]> data_;
  int64_t size_ = 0;
};

}  // namespace unswift
