#include "unswift/base/scratch_directory.h"

#include <stdlib.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace unswift {

Result<ScratchDirectory> ScratchDirectory::Create(const std::filesystem::path& wanted) {
  std::error_code error;
  const std::filesystem::path parent =
      wanted.empty() ? std::filesystem::temp_directory_path(error) : wanted;
  std::string name = (parent / "unswift-XXXXXX").string();
  if (error || mkdtemp(name.data()) == nullptr) {
    return MakeError(ErrorCode::kIo,
                     "[scratch_directory] {}: could not make a temporary directory: {}",
                     parent.string(), error ? error.message() : std::strerror(errno));
  }
  return ScratchDirectory(name);
}

ScratchDirectory::~ScratchDirectory() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

}  // namespace unswift
