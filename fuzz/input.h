// What the fuzz targets share.
#pragma once

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "unswift/base/check.h"

namespace unswift {

inline std::string_view AsText(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// The input as a file that has a path but lies in memory; its owner's alone, as secret files are.
class MemoryFile {
 public:
  MemoryFile(const uint8_t* data, size_t size) : fd_(memfd_create("fuzz", MFD_CLOEXEC)) {
    UNSWIFT_CHECK(fd_ >= 0 && fchmod(fd_, 0600) == 0);
    for (size_t done = 0; done < size;) {
      const ssize_t written = write(fd_, data + done, size - done);
      UNSWIFT_CHECK(written > 0);
      done += static_cast<size_t>(written);
    }
  }
  ~MemoryFile() { close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

/// A name for a file that a target writes, under the directory for temporary files.
class ScratchFile {
 public:
  explicit ScratchFile(const std::string& name)
      : path_(std::filesystem::temp_directory_path() /
              ("unswift-fuzz-" + name + "-" + std::to_string(getpid()))) {}
  ~ScratchFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  ScratchFile(const ScratchFile&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace unswift

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
