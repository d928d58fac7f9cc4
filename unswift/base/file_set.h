// The files of a model, by name.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "unswift/base/mapped_file.h"
#include "unswift/base/result.h"

namespace unswift {

/// The files of a directory (without what its directories hold), or files that stand in memory
/// only. Whoever opens a model reads through this, so none of it has to know which of the two it
/// is.
class FileSet {
 public:
  /// Name -> bytes.
  using Memory = std::map<std::string, std::span<const std::byte>>;

  /// Implicit: a directory is the usual case. It is not looked at before the first file is asked
  /// for.
  FileSet(std::filesystem::path directory);
  FileSet(const std::string& directory) : FileSet(std::filesystem::path(directory)) {}
  FileSet(const char* directory) : FileSet(std::filesystem::path(directory)) {}
  /// Files in memory that `owner` keeps alive; `root` stands for their directory in messages.
  FileSet(std::filesystem::path root, Memory files, std::shared_ptr<const void> owner);

  const std::filesystem::path& root() const { return root_; }
  /// How messages name a file.
  std::filesystem::path PathOf(const std::string& name) const { return root_ / name; }
  bool Contains(const std::string& name) const;
  /// Errors: as MappedFile::Open.
  Result<MappedFile> Open(const std::string& name) const;
  /// Every file, sorted. Errors: kInvalidData when a directory holds anything but regular files (a
  /// symbolic link, a directory, ...), naming it; kIo.
  Result<std::vector<std::string>> Names() const;

 private:
  struct InMemory {
    Memory files;
    std::shared_ptr<const void> owner;
  };
  std::filesystem::path root_;
  std::shared_ptr<const InMemory> memory_;  // null for a directory
};

/// Whether a name of outside origin is one of a file, and cannot leave the directory that it is
/// joined to.
bool IsPlainFileName(std::string_view name);

}  // namespace unswift
