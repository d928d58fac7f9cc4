#include "unswift/provenance/secret_memory.h"

#include <sodium.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace unswift {

Result<SecretMemory> SecretMemory::Allocate(size_t bytes) {
  SecretMemory memory;
  if (bytes == 0) return memory;
  void* data =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, /*fd=*/-1, 0);
  if (data == MAP_FAILED) {
    return MakeError(ErrorCode::kIo, "[allocate] {} bytes: {}", bytes, std::strerror(errno));
  }
  memory.data_ = static_cast<std::byte*>(data);
  memory.size_ = bytes;
  madvise(data, bytes, MADV_DONTDUMP);
  memory.locked_ = mlock(data, bytes) == 0;
  return memory;
}

SecretMemory::SecretMemory(SecretMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      locked_(std::exchange(other.locked_, false)) {}

SecretMemory& SecretMemory::operator=(SecretMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(locked_, other.locked_);
  return *this;
}

SecretMemory::~SecretMemory() {
  if (data_ == nullptr) return;
  sodium_memzero(data_, size_);
  munmap(data_, size_);
}

void ForbidCoreDumps() {
  const rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  prctl(PR_SET_DUMPABLE, 0);
}

}  // namespace unswift
