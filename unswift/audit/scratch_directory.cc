#include "unswift/audit/scratch_directory.h"

#include <stdlib.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace unswift {

Result<ScratchDirectory> ScratchDirectory::Create() {
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::temp_directory_path(error);
  std::string name = (parent / "unswift-audit-XXXXXX").string();
  if (error || mkdtemp(name.data()) == nullptr) {
    return MakeError(ErrorCode::kIo, "[audit] {}: could not make a temporary directory: {}",
                     parent.string(), error ? error.message() : std::strerror(errno));
  }
  return ScratchDirectory(name);
}

ScratchDirectory::~ScratchDirectory() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

}  // namespace unswift
