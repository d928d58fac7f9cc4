// Sealed files: a model encrypted to its recipients.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "unswift/base/file_set.h"
#include "unswift/base/progress.h"
#include "unswift/base/result.h"
#include "unswift/base/thread_pool.h"
#include "unswift/provenance/key.h"
#include "unswift/provenance/sealed_header.h"

namespace unswift {

struct SealOptions {
  SealCipher cipher = FastestSealCipher();
  uint64_t chunk_bytes = SealedHeader().chunk_bytes;  ///< a power of two within the limits
  bool replace = false;
};

struct SealReport {
  uint64_t files = 0, payload_bytes = 0, sealed_bytes = 0;
};

/// Encrypts every file of a model under a fresh key, wrapped for each recipient (sealing keys), to
/// `target`, which appears complete or not at all. Memory: a few chunks per thread. Errors:
/// kInvalidArgument (no recipients, one twice, too many), kInvalidData (a link or directory among
/// the files), kAlreadyExists, kIo.
Result<SealReport> Seal(const FileSet& model, const std::vector<PublicKey>& recipients,
                        const SealOptions& options, const std::filesystem::path& target,
                        ThreadPool& pool, const ProgressFn& progress);

}  // namespace unswift
