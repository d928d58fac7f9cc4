// A read-only view of a whole file.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

#include "unswift/base/result.h"

namespace unswift {

/// The bytes of a file: a mapping of a regular file, whose pages belong to the page cache and not
/// to the process, or memory that already holds them.
class MappedFile {
 public:
  /// Errors: kNotFound, kIo (permission, not a regular file, mmap refused). An empty file maps to
  /// an empty span. Changing the file while it is mapped is the caller's fault (SIGBUS on
  /// truncation).
  static Result<MappedFile> Open(const std::filesystem::path& path);

  /// A view of bytes that `owner` keeps alive.
  static MappedFile OfMemory(std::span<const std::byte> bytes, std::shared_ptr<const void> owner);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }

  /// Lets the kernel drop the pages of [offset, offset + length) from this process. For passes over
  /// files larger than memory; does nothing to bytes that have no file behind them.
  void Release(size_t offset, size_t length) const;

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  std::shared_ptr<const void> owner_;  // of memory; null for a mapping of our own
};

/// Reads a whole file into a string. Errors: kNotFound, kIo, kInvalidData when larger than
/// max_bytes.
Result<std::string> ReadFile(const std::filesystem::path& path, size_t max_bytes = size_t{1} << 30);

}  // namespace unswift
