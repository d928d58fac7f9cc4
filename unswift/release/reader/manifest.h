// unswift.json: what a release is made of. The format is written up in docs/release_format.md.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "unswift/base/result.h"
#include "unswift/base/thread_pool.h"
#include "unswift/io/json.h"
#include "unswift/model/model.h"

namespace unswift {

inline constexpr char kManifestName[] = "unswift.json";
inline constexpr char kSignatureName[] = "unswift.sig";
inline constexpr int kManifestVersion = 1;

struct ManifestFile {
  std::string path;  ///< a plain file name
  int64_t bytes = 0;
  std::string sha256;  ///< 64 lower-case hex digits
};

struct Manifest {
  std::string generator;
  // Series.
  SeriesBasis basis = SeriesBasis::kChebyshev;
  SeriesGuard guard = SeriesGuard::kLinear;
  double cutoff = 0.0;
  int32_t cutoff_order = 0;
  DType theta_dtype = DType::kF16;
  std::string preset, allocation, rounding;
  bool sign_flip = false;
  double mean_order = 0.0;
  double predicted_slowdown = 0.0;
  std::vector<SeriesLayer> layers;
  // Provenance.
  std::string recipient, licence, expires;  ///< empty when not given
  std::vector<ManifestFile> files;          ///< sorted by path; every file but the manifest itself

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

/// Size and SHA-256 of every regular file of a directory except the manifest and its signature,
/// sorted. Cost: reads everything, on all threads of the pool.
Result<std::vector<ManifestFile>> DigestDirectory(const std::filesystem::path& directory,
                                                  ThreadPool& pool);

/// Whether a directory is a release.
bool IsRelease(const std::filesystem::path& directory);

/// Reads DIRECTORY/unswift.json; digests are not checked.
Result<Manifest> ReadManifest(const std::filesystem::path& directory);

/// Compares every file with the manifest: one that is missing, added, of another size or content is
/// an error (kInvalidData) that names it.
Result<> CheckDigests(const std::filesystem::path& directory, const Manifest& manifest,
                      ThreadPool& pool);

}  // namespace unswift
