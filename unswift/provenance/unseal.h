// Opens sealed files: into memory, to run them, or to a directory.
#pragma once

#include <filesystem>

#include "unswift/base/file_set.h"
#include "unswift/base/progress.h"
#include "unswift/base/result.h"
#include "unswift/base/thread_pool.h"
#include "unswift/provenance/key.h"

namespace unswift {

/// Whether a path is a regular file that claims to be sealed.
bool IsSealedFile(const std::filesystem::path& path);

struct UnsealedFiles {
  FileSet files;
  bool locked = false;  ///< whether the memory could be locked against swapping
};

/// Decrypts a sealed file into memory that goes with the last copy of the FileSet (SecretMemory).
/// Every chunk is authenticated before anything of it is handed out. Errors: kInvalidArgument (the
/// file is sealed to other keys), kInvalidData (changed, damaged, cut), kUnsupported, kIo.
Result<UnsealedFiles> UnsealToMemory(const std::filesystem::path& path, const PrivateKey& key,
                                     ThreadPool& pool, const ProgressFn& progress);

struct UnsealReport {
  uint64_t files = 0, payload_bytes = 0;
};

/// Decrypts to a directory, which appears when the last chunk proved authentic, or not at all.
/// Memory: a few chunks per thread. Errors: as above, and kAlreadyExists.
Result<UnsealReport> UnsealToDirectory(const std::filesystem::path& path, const PrivateKey& key,
                                       const std::filesystem::path& target, bool replace,
                                       ThreadPool& pool, const ProgressFn& progress);

}  // namespace unswift
