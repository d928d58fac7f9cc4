// Output that appears complete or not at all: written aside, synced, then renamed.
#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

#include "unswift/base/result.h"

namespace unswift {

/// A directory under construction beside its target, as ".NAME.partial-PID". Destroying it without
/// Commit() removes it; a killed process leaves it under that name, and the next Create() for the
/// same target removes what dead processes left. One at a time per target and process.
class AtomicDirectory {
 public:
  /// Errors: kAlreadyExists (target is there and !replace), kNotFound (parent), kIo.
  static Result<AtomicDirectory> Create(const std::filesystem::path& target, bool replace);

  AtomicDirectory(AtomicDirectory&& other) noexcept;
  AtomicDirectory& operator=(AtomicDirectory&&) = delete;
  ~AtomicDirectory();

  /// Where to write.
  const std::filesystem::path& path() const { return partial_; }

  /// Syncs every file, then makes the directory appear under the target's name in one rename (with
  /// `replace`, in one exchange with the old one, which is then removed).
  Result<> Commit();

 private:
  AtomicDirectory(std::filesystem::path target, std::filesystem::path partial, bool replace);
  std::filesystem::path target_, partial_;
  bool replace_ = false;
};

/// Calls write(path) for a path beside the target, syncs what it wrote, and renames it to the
/// target (an existing one needs `replace`). On an error nothing is left.
Result<> WriteAside(const std::filesystem::path& target, bool replace,
                    const std::function<Result<>(const std::filesystem::path&)>& write);

/// WriteAside of a whole file.
Result<> WriteFileAtomically(const std::filesystem::path& target, std::string_view bytes,
                             bool replace);

/// Writes a new file and closes it. Errors: kIo with the system's reason (disk full, ...).
Result<> WriteFile(const std::filesystem::path& path, std::string_view bytes);

/// The same of a file that only its owner may read (mode 0600), and that must not be there: who had
/// made it before could read it.
Result<> WritePrivateFile(const std::filesystem::path& path, std::string_view bytes);

/// Flushes a file or a directory to disk.
Result<> SyncPath(const std::filesystem::path& path);

}  // namespace unswift
