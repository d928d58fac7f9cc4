#include "unswift/base/file_set.h"

#include <algorithm>
#include <utility>

namespace unswift {

namespace fs = std::filesystem;

FileSet::FileSet(fs::path directory) : root_(std::move(directory)) {}

FileSet::FileSet(fs::path root, Memory files, std::shared_ptr<const void> owner)
    : root_(std::move(root)),
      memory_(std::make_shared<InMemory>(InMemory{std::move(files), std::move(owner)})) {}

bool FileSet::Contains(const std::string& name) const {
  if (memory_ != nullptr) return memory_->files.contains(name);
  std::error_code ignored;
  return fs::exists(PathOf(name), ignored);
}

Result<MappedFile> FileSet::Open(const std::string& name) const {
  if (memory_ == nullptr) return MappedFile::Open(PathOf(name));
  const auto found = memory_->files.find(name);
  if (found == memory_->files.end()) {
    return MakeError(ErrorCode::kNotFound, "[open] {}: no such file", PathOf(name).string());
  }
  return MappedFile::OfMemory(found->second, memory_);
}

Result<std::vector<std::string>> FileSet::Names() const {
  std::vector<std::string> names;
  if (memory_ != nullptr) {
    for (const auto& [name, bytes] : memory_->files) names.push_back(name);
    return names;
  }
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(root_, error)) {
    if (!fs::is_regular_file(entry.symlink_status())) {
      return MakeError(ErrorCode::kInvalidData, "[list] {}: expected a regular file",
                       entry.path().string());
    }
    names.push_back(entry.path().filename().string());
  }
  if (error) return MakeError(ErrorCode::kIo, "[list] {}: {}", root_.string(), error.message());
  std::sort(names.begin(), names.end());
  return names;
}

bool IsPlainFileName(std::string_view name) {
  return !name.empty() && name != "." && name.find("..") == name.npos &&
         name.find_first_of(std::string_view("/\\\0", 3)) == name.npos;
}

}  // namespace unswift
