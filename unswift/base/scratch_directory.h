// A private temporary directory that goes with the object.
#pragma once

#include <filesystem>

#include "unswift/base/result.h"

namespace unswift {

class ScratchDirectory {
 public:
  /// Under `parent`, or the system's temporary directory ($TMPDIR), mode 0700. Errors: kIo.
  static Result<ScratchDirectory> Create(const std::filesystem::path& parent = {});
  ScratchDirectory(ScratchDirectory&& other) noexcept : path_(std::move(other.path_)) {
    other.path_.clear();
  }
  ScratchDirectory& operator=(ScratchDirectory&&) = delete;
  ~ScratchDirectory();
  const std::filesystem::path& path() const { return path_; }

 private:
  explicit ScratchDirectory(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

}  // namespace unswift
