// unswift.json: what a release is made of. The format is written up in docs/release_format.md.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "unswift/base/file_set.h"
#include "unswift/base/result.h"
#include "unswift/base/thread_pool.h"
#include "unswift/io/json_fwd.h"
#include "unswift/model/model.h"
#include "unswift/provenance/statement.h"

namespace unswift {

inline constexpr char kManifestName[] = "unswift.json";
inline constexpr int kManifestVersion = 1;

struct ManifestFile {
  std::string path;  ///< a plain file name
  int64_t bytes = 0;
  std::string sha256;  ///< 64 lower-case hex digits
};

struct Manifest {
  std::string generator = {};
  // Series.
  SeriesBasis basis = SeriesBasis::kChebyshev;
  SeriesGuard guard = SeriesGuard::kLinear;
  double cutoff = 0.0;
  int32_t cutoff_order = 0;
  DType theta_dtype = DType::kF16;
  std::string preset = {}, allocation = {}, rounding = {};
  bool sign_flip = false;
  double mean_order = 0.0;
  double predicted_slowdown = 0.0;
  std::vector<SeriesLayer> layers = {};
  // Provenance.
  int64_t release_version = 0;                             ///< counts up from 1; 0 when not given
  std::string recipient = {}, licence = {}, expires = {};  ///< empty when not given
  std::vector<ManifestFile> files = {};  ///< sorted by path; every file but the manifest itself

  int64_t protected_units() const;
};

/// "chebyshev", "taylor". Errors: kUnsupported naming what exists.
Result<SeriesBasis> ParseBasis(std::string_view name);
std::string_view BasisName(SeriesBasis basis);
/// "linear", "none", "truncate".
Result<SeriesGuard> ParseGuard(std::string_view name);
std::string_view GuardName(SeriesGuard guard);

Json ManifestToJson(const Manifest& manifest);
/// Errors: kInvalidData, kUnsupported (a newer format_version) naming `what` and the key.
Result<Manifest> ManifestFromJson(const Json& json, const std::string& what);

/// Size and SHA-256 of one file. Errors: as FileSet::Open.
Result<ManifestFile> DigestFile(const FileSet& files, const std::string& name);

/// Size and SHA-256 of every file except the signature, sorted; a signature covers this list, the
/// manifest's own `files` all of it but the manifest. `known`: what DigestFile said of some of them
/// already. Errors: as FileSet::Names. Cost: reads everything else, on all threads of the pool.
Result<std::vector<ManifestFile>> DigestFiles(const FileSet& files, ThreadPool& pool,
                                              const std::vector<ManifestFile>& known = {});

/// Whether a model is a release.
bool IsRelease(const FileSet& model);

/// Reads unswift.json; digests are not checked.
Result<Manifest> ReadManifest(const FileSet& release);

/// Compares what DigestFiles found with the manifest: a file that is missing, added, of another
/// size or content is an error (kInvalidData) that names it.
Result<> CompareDigests(const FileSet& release, const Manifest& manifest,
                        const std::vector<ManifestFile>& found);

/// DigestFiles and CompareDigests.
Result<> CheckDigests(const FileSet& release, const Manifest& manifest, ThreadPool& pool);

}  // namespace unswift
