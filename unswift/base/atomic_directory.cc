#include "unswift/base/atomic_directory.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <string>

namespace unswift {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPartialMark = ".partial-";

auto SystemError(std::string_view where, const fs::path& path, int error) {
  return MakeError(ErrorCode::kIo, "[{}] {}: {}", where, path.string(), std::strerror(error));
}

fs::path WithoutTrailingSlash(const fs::path& path) {
  return path.has_filename() ? path : path.parent_path();
}

fs::path ParentOf(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

fs::path PartialName(const fs::path& target) {
  return ParentOf(target) /
         fmt::format(".{}{}{}", target.filename().string(), kPartialMark, getpid());
}

/// Removes what killed processes left beside the target. Living ones (another run at work on the
/// same target) keep theirs.
void RemoveStalePartials(const fs::path& target) {
  const std::string prefix = fmt::format(".{}{}", target.filename().string(), kPartialMark);
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(ParentOf(target), ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix)) continue;
    int pid = 0;
    const char* end = name.data() + name.size();
    if (std::from_chars(name.data() + prefix.size(), end, pid).ptr != end || pid <= 0) continue;
    // Our own number can only be left from an earlier life (containers start at 1 again).
    if (pid != getpid() && (kill(pid, 0) == 0 || errno != ESRCH)) continue;
    fs::remove_all(entry.path(), ignored);
  }
}

Result<> WriteAll(int fd, std::string_view bytes, const fs::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return SystemError("write", path, errno);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return {};
}

Result<> WriteNew(const fs::path& path, std::string_view bytes, int flags, mode_t mode) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, mode);
  if (fd < 0) return SystemError("write", path, errno);
  Result<> status = WriteAll(fd, bytes, path);
  if (close(fd) != 0 && status) status = SystemError("write", path, errno);
  return status;
}

Result<> CheckAbsent(const fs::path& target) {
  std::error_code ignored;
  if (!fs::exists(fs::symlink_status(target, ignored))) return {};
  return MakeError(ErrorCode::kAlreadyExists,
                   "[create] {}: expected a path that does not exist (use --force to replace it)",
                   target.string());
}

}  // namespace

Result<AtomicDirectory> AtomicDirectory::Create(const fs::path& requested, bool replace) {
  const fs::path target = WithoutTrailingSlash(requested);
  if (!replace) UNSWIFT_RETURN_IF_ERROR(CheckAbsent(target));
  RemoveStalePartials(target);
  fs::path partial = PartialName(target);
  if (mkdir(partial.c_str(), 0777) != 0) {
    const int error = errno;
    if (error == ENOENT) {
      return MakeError(ErrorCode::kNotFound, "[create] {}: the parent directory does not exist",
                       target.string());
    }
    return SystemError("create", target, error);
  }
  return AtomicDirectory(target, std::move(partial), replace);
}

AtomicDirectory::AtomicDirectory(fs::path target, fs::path partial, bool replace)
    : target_(std::move(target)), partial_(std::move(partial)), replace_(replace) {}

AtomicDirectory::AtomicDirectory(AtomicDirectory&& other) noexcept
    : target_(std::move(other.target_)),
      partial_(std::move(other.partial_)),
      replace_(other.replace_) {
  other.partial_.clear();
}

AtomicDirectory::~AtomicDirectory() {
  std::error_code ignored;
  if (!partial_.empty()) fs::remove_all(partial_, ignored);
}

Result<> AtomicDirectory::Commit() {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(partial_, error)) {
    UNSWIFT_RETURN_IF_ERROR(SyncPath(entry.path()));
  }
  if (error) return SystemError("commit", partial_, error.value());
  UNSWIFT_RETURN_IF_ERROR(SyncPath(partial_));
  // RENAME_NOREPLACE / RENAME_EXCHANGE: one system call decides, so no moment shows a mixture.
  bool exchanged = false;
  int status = renameat2(AT_FDCWD, partial_.c_str(), AT_FDCWD, target_.c_str(), RENAME_NOREPLACE);
  if (status != 0 && errno == EEXIST && replace_) {
    status = renameat2(AT_FDCWD, partial_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE);
    exchanged = status == 0;
  }
  if (status != 0) {
    if (errno == EEXIST) return CheckAbsent(target_);
    return SystemError("commit", target_, errno);
  }
  if (exchanged) fs::remove_all(partial_, error);  // now the old directory
  partial_.clear();
  return SyncPath(ParentOf(target_));
}

Result<> WriteFile(const fs::path& path, std::string_view bytes) {
  return WriteNew(path, bytes, O_TRUNC, 0666);
}

Result<> WritePrivateFile(const fs::path& path, std::string_view bytes) {
  return WriteNew(path, bytes, O_EXCL, 0600);
}

Result<> WriteAside(const fs::path& target, bool replace,
                    const std::function<Result<>(const fs::path&)>& write) {
  if (!replace) UNSWIFT_RETURN_IF_ERROR(CheckAbsent(target));
  RemoveStalePartials(target);
  const fs::path partial = PartialName(target);
  Result<> status = write(partial);
  if (status) status = SyncPath(partial);
  if (status && rename(partial.c_str(), target.c_str()) != 0) {
    status = SystemError("write", target, errno);
  }
  if (!status) unlink(partial.c_str());
  return status;
}

Result<> WriteFileAtomically(const fs::path& target, std::string_view bytes, bool replace) {
  return WriteAside(target, replace,
                    [&](const fs::path& partial) { return WriteFile(partial, bytes); });
}

Result<> SyncPath(const fs::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return SystemError("sync", path, errno);
  const int status = fsync(fd);
  const int error = errno;
  close(fd);
  if (status != 0) return SystemError("sync", path, error);
  return {};
}

}  // namespace unswift
