// Opens what the program calls MODEL: a Hugging Face checkpoint, a release of one, or one of these
// in a sealed file.
#pragma once

#include <filesystem>
#include <optional>

#include "unswift/base/file_set.h"
#include "unswift/base/progress.h"
#include "unswift/base/result.h"
#include "unswift/base/thread_pool.h"
#include "unswift/model/model.h"
#include "unswift/release/reader/manifest.h"

namespace unswift {

struct OpenModelOptions {
  /// Compare every file of a release with its manifest before any tensor is used.
  bool check_digests = true;
  /// A public key that must have signed every file. Nothing of the model is used before.
  std::optional<std::filesystem::path> require_signature = {};
  /// The least release_version that is taken: an older release, still well signed, is refused.
  /// Needs require_signature, as an unsigned number says nothing.
  int64_t min_version = 0;
  bool ignore_expiry = false;
  /// The private key of a recipient, for a sealed file.
  std::optional<std::filesystem::path> unseal_key = {};
};

/// The files of a model with every check of the options passed.
struct OpenedFiles {
  FileSet files;
  std::optional<Manifest> manifest;  ///< of a release
  std::optional<bool> locked;        ///< of a sealed file: whether its memory could be locked
};

/// Errors: kNotFound (no such directory, no signature, ...), kInvalidData, kUnsupported,
/// kInvalidArgument (a sealed file without a key or to another one, an expired or too old release).
Result<OpenedFiles> OpenModelFiles(const std::filesystem::path& path,
                                   const OpenModelOptions& options, ThreadPool& pool,
                                   const ProgressFn& progress = {});

struct OpenedModel {
  Model model;
  std::optional<Manifest> manifest;  ///< of a release
  FileSet files;                     ///< for the tokenizer
};

/// OpenModelFiles, then the tensors.
Result<OpenedModel> OpenModel(const std::filesystem::path& path, const OpenModelOptions& options,
                              ThreadPool& pool, const ProgressFn& progress = {});
/// Of files that are open.
Result<OpenedModel> OpenModel(const OpenedFiles& opened);

}  // namespace unswift
