// The signature of a model: one file beside the others, over the SHA-256 of all of them.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "unswift/base/file_set.h"
#include "unswift/base/result.h"
#include "unswift/base/thread_pool.h"
#include "unswift/provenance/key.h"
#include "unswift/release/reader/manifest.h"

namespace unswift {

/// Signs every file of a directory and writes the bundle beside them, under kSignatureName. A
/// release must match its manifest first. Returns what was signed. Errors: kInvalidData (damaged
/// release, a link or directory among the files), kAlreadyExists (signed and !replace), kIo.
Result<std::vector<ManifestFile>> SignModel(const std::filesystem::path& directory,
                                            const PrivateKey& key, bool replace, ThreadPool& pool);

/// Whether `key` has signed exactly the files that DigestFiles found. Errors: kNotFound (no
/// signature), kInvalidData (of another key, changed, or of other files), naming the file.
Result<> CheckSignature(const FileSet& model, const PublicKey& key,
                        const std::vector<ManifestFile>& found);

/// The manifest of files that are what they should be: signed by `signer`, when there is one, and
/// for a release (with check_digests, or a signer) what its manifest lists. Empty for a plain
/// model. Errors: as DigestFiles, CheckSignature, ReadManifest and CompareDigests, in that order.
Result<std::optional<Manifest>> AuthenticateFiles(const FileSet& model, const PublicKey* signer,
                                                  bool check_digests, ThreadPool& pool);

}  // namespace unswift
