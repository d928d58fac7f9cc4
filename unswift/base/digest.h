// SHA-256 of bytes and files.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "unswift/base/mapped_file.h"
#include "unswift/base/result.h"

namespace unswift {

/// Incremental SHA-256 (OpenSSL).
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  void Update(std::span<const std::byte> bytes);
  /// 64 lower-case hex digits. The object is spent afterwards.
  std::string HexDigest();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

std::string Sha256Hex(std::span<const std::byte> bytes);
/// Reads the file once, releasing pages behind it.
std::string Sha256HexOfFile(const MappedFile& file);
Result<std::string> Sha256HexOfFile(const std::filesystem::path& path);

}  // namespace unswift
