#include "unswift/base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace unswift {
namespace {

/// An open descriptor that closes itself.
struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

}  // namespace

Result<MappedFile> MappedFile::Open(const std::filesystem::path& path) {
  const Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) {
    const ErrorCode code = errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo;
    return MakeError(code, "[open] {}: {}", path.string(), std::strerror(errno));
  }
  struct stat info;
  if (fstat(file.fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    return MakeError(ErrorCode::kIo, "[open] {}: expected a regular file", path.string());
  }
  MappedFile mapped;
  if (info.st_size == 0) return mapped;
  void* data = mmap(nullptr, info.st_size, PROT_READ, MAP_SHARED, file.fd, 0);
  if (data == MAP_FAILED) {
    return MakeError(ErrorCode::kIo, "[open] {}: mmap: {}", path.string(), std::strerror(errno));
  }
  mapped.data_ = static_cast<const std::byte*>(data);
  mapped.size_ = info.st_size;
  return mapped;
}

MappedFile MappedFile::OfMemory(std::span<const std::byte> bytes,
                                std::shared_ptr<const void> owner) {
  MappedFile file;
  file.data_ = bytes.data();
  file.size_ = bytes.size();
  file.owner_ = std::move(owner);
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      owner_(std::move(other.owner_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(owner_, other.owner_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr && owner_ == nullptr) munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::Release(size_t offset, size_t length) const {
  if (owner_ != nullptr) return;  // dropping these pages would zero them
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t begin = (offset + page - 1) / page * page;
  const size_t end = std::min(offset + length, size_) / page * page;
  if (begin < end) madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
}

Result<std::string> ReadFile(const std::filesystem::path& path, size_t max_bytes) {
  UNSWIFT_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  if (file.bytes().size() > max_bytes) {
    return MakeError(ErrorCode::kInvalidData, "[read_file] {}: expected at most {} bytes, got {}",
                     path.string(), max_bytes, file.bytes().size());
  }
  return std::string(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
}

}  // namespace unswift
