// A read-only mapping of a whole file.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "unswift/base/result.h"

namespace unswift {

/// Maps a regular file for reading. The pages belong to the page cache, not to the process.
class MappedFile {
 public:
  /// Errors: kNotFound, kIo (permission, not a regular file, mmap refused). An empty file maps to
  /// an empty span. Changing the file while it is mapped is the caller's fault (SIGBUS on
  /// truncation).
  static Result<MappedFile> Open(const std::filesystem::path& path);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }

  /// Lets the kernel drop the pages of [offset, offset + length) from this process. For passes over
  /// files larger than memory.
  void Release(size_t offset, size_t length) const;

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

/// Reads a whole file into a string. Errors: kNotFound, kIo, kInvalidData when larger than
/// max_bytes.
Result<std::string> ReadFile(const std::filesystem::path& path, size_t max_bytes = size_t{1} << 30);

}  // namespace unswift
