// Memory for keys and for what was sealed.
#pragma once

#include <cstddef>
#include <span>

#include "unswift/base/result.h"

namespace unswift {

/// Pages of their own that stay out of core dumps and, where the system's limit (ulimit -l) lets
/// them be locked, out of swap. They are zeroed before they go back to the system.
class SecretMemory {
 public:
  /// Zeroed. Errors: kIo when there is no such memory.
  static Result<SecretMemory> Allocate(size_t bytes);

  SecretMemory() = default;
  SecretMemory(SecretMemory&& other) noexcept;
  SecretMemory& operator=(SecretMemory&& other) noexcept;
  ~SecretMemory();

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  std::span<std::byte> bytes() const { return {data_, size_}; }
  /// Whether the pages are locked. Nothing else depends on it.
  bool locked() const { return locked_; }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  bool locked_ = false;
};

/// From here on this process leaves no core dump, and other processes of the user may not read its
/// memory. For programs that hold a private key or an opened sealed release.
void ForbidCoreDumps();

}  // namespace unswift
