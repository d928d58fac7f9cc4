#include "unswift/release/reader/manifest.h"

#include <algorithm>

#include "unswift/base/digest.h"
#include "unswift/base/registry.h"
#include "unswift/io/json.h"
#include "unswift/provenance/encoding.h"

namespace unswift {
namespace {

constexpr char kFormatName[] = "unswift-release";

const Registry<SeriesBasis>& Bases() {
  static const Registry<SeriesBasis> rows(
      "basis", {{"chebyshev", SeriesBasis::kChebyshev}, {"taylor", SeriesBasis::kTaylor}});
  return rows;
}

const Registry<SeriesGuard>& Guards() {
  static const Registry<SeriesGuard> rows("guard", {{"linear", SeriesGuard::kLinear},
                                                    {"none", SeriesGuard::kNone},
                                                    {"truncate", SeriesGuard::kTruncate}});
  return rows;
}

Result<SeriesLayer> LayerFromJson(const Json& json, const Manifest& manifest,
                                  const std::string& what) {
  SeriesLayer layer;
  layer.basis = manifest.basis;
  layer.guard = manifest.guard;
  layer.cutoff = manifest.cutoff;
  layer.cutoff_order = manifest.cutoff_order;
  UNSWIFT_ASSIGN_OR_RETURN(layer.layer, GetField<int64_t>(json, "layer", what));
  UNSWIFT_ASSIGN_OR_RETURN(layer.protected_units, GetField<int64_t>(json, "protected_units", what));
  UNSWIFT_ASSIGN_OR_RETURN(layer.features, GetField<int64_t>(json, "features", what));
  return layer;
}

Result<> SeriesFromJson(const Json& json, const std::string& what, Manifest& manifest) {
  UNSWIFT_ASSIGN_OR_RETURN(const auto basis, GetField<std::string>(json, "basis", what));
  UNSWIFT_ASSIGN_OR_RETURN(manifest.basis, ParseBasis(basis));
  UNSWIFT_ASSIGN_OR_RETURN(const auto guard, GetField<std::string>(json, "guard", what));
  UNSWIFT_ASSIGN_OR_RETURN(manifest.guard, ParseGuard(guard));
  UNSWIFT_ASSIGN_OR_RETURN(manifest.cutoff, GetFieldOr<double>(json, "cutoff", 0.0, what));
  UNSWIFT_ASSIGN_OR_RETURN(const int64_t cutoff_order,
                           GetFieldOr<int64_t>(json, "cutoff_order", 0, what));
  manifest.cutoff_order = static_cast<int32_t>(std::clamp<int64_t>(cutoff_order, 0, INT32_MAX));
  UNSWIFT_ASSIGN_OR_RETURN(const auto dtype, GetField<std::string>(json, "dtype", what));
  const std::optional<DType> parsed = ParseDType(dtype);
  if (!parsed || !(IsFloat(*parsed) || IsQuantized(*parsed))) {
    return MakeError(ErrorCode::kUnsupported,
                     "[read_manifest] {}: dtype: expected f32, f16, bf16, q8_0 or q4_0, got '{}'",
                     what, dtype);
  }
  manifest.theta_dtype = *parsed;
  UNSWIFT_ASSIGN_OR_RETURN(manifest.preset, GetFieldOr<std::string>(json, "preset", "", what));
  UNSWIFT_ASSIGN_OR_RETURN(manifest.allocation,
                           GetFieldOr<std::string>(json, "allocation", "", what));
  UNSWIFT_ASSIGN_OR_RETURN(manifest.rounding, GetFieldOr<std::string>(json, "rounding", "", what));
  UNSWIFT_ASSIGN_OR_RETURN(manifest.sign_flip, GetFieldOr<bool>(json, "sign_flip", false, what));
  UNSWIFT_ASSIGN_OR_RETURN(manifest.mean_order, GetField<double>(json, "mean_order", what));
  UNSWIFT_ASSIGN_OR_RETURN(manifest.predicted_slowdown,
                           GetField<double>(json, "predicted_slowdown", what));
  if (!json.contains("layers") || !json.at("layers").is_array() || json.at("layers").empty()) {
    return MakeError(ErrorCode::kInvalidData, "[read_manifest] {}: expected a list 'layers'", what);
  }
  for (const Json& entry : json.at("layers")) {
    UNSWIFT_ASSIGN_OR_RETURN(SeriesLayer layer, LayerFromJson(entry, manifest, what + ": layers"));
    manifest.layers.push_back(layer);
  }
  return {};
}

Result<> FilesFromJson(const Json& json, const std::string& what, Manifest& manifest) {
  if (!json.is_array()) {
    return MakeError(ErrorCode::kInvalidData, "[read_manifest] {}: expected a list", what);
  }
  for (const Json& entry : json) {
    ManifestFile file;
    UNSWIFT_ASSIGN_OR_RETURN(file.path, GetField<std::string>(entry, "path", what));
    UNSWIFT_ASSIGN_OR_RETURN(file.bytes, GetField<int64_t>(entry, "bytes", what));
    UNSWIFT_ASSIGN_OR_RETURN(file.sha256, GetField<std::string>(entry, "sha256", what));
    if (!IsPlainFileName(file.path) || !IsSha256Hex(file.sha256) || file.path == kManifestName) {
      return MakeError(ErrorCode::kInvalidData,
                       "[read_manifest] {}: expected a plain file name and a SHA-256, got '{}'",
                       what, file.path);
    }
    if (!manifest.files.empty() && manifest.files.back().path >= file.path) {
      return MakeError(ErrorCode::kInvalidData,
                       "[read_manifest] {}: '{}': expected unique names in ascending order", what,
                       file.path);
    }
    manifest.files.push_back(std::move(file));
  }
  return {};
}

}  // namespace

int64_t Manifest::protected_units() const {
  int64_t total = 0;
  for (const SeriesLayer& layer : layers) total += layer.protected_units;
  return total;
}

Result<SeriesBasis> ParseBasis(std::string_view name) { return Bases().Find(name); }
std::string_view BasisName(SeriesBasis basis) { return Bases().NameOf(basis); }
Result<SeriesGuard> ParseGuard(std::string_view name) { return Guards().Find(name); }
std::string_view GuardName(SeriesGuard guard) { return Guards().NameOf(guard); }

Json ManifestToJson(const Manifest& manifest) {
  Json series = {{"basis", BasisName(manifest.basis)},
                 {"guard", GuardName(manifest.guard)},
                 {"dtype", DTypeName(manifest.theta_dtype)},
                 {"preset", manifest.preset},
                 {"allocation", manifest.allocation},
                 {"rounding", manifest.rounding},
                 {"sign_flip", manifest.sign_flip},
                 {"mean_order", manifest.mean_order},
                 {"protected_units", manifest.protected_units()},
                 {"predicted_slowdown", manifest.predicted_slowdown},
                 {"layers", Json::array()}};
  if (manifest.guard == SeriesGuard::kTruncate) {
    series["cutoff"] = manifest.cutoff;
    series["cutoff_order"] = manifest.cutoff_order;
  }
  for (const SeriesLayer& layer : manifest.layers) {
    series["layers"].push_back({{"layer", layer.layer},
                                {"protected_units", layer.protected_units},
                                {"features", layer.features}});
  }
  Json json = {{"format", kFormatName},
               {"format_version", kManifestVersion},
               {"generator", manifest.generator},
               {"series", std::move(series)},
               {"files", Json::array()}};
  if (!manifest.recipient.empty()) json["recipient"] = manifest.recipient;
  if (manifest.release_version > 0) json["release_version"] = manifest.release_version;
  if (!manifest.licence.empty()) json["licence"] = manifest.licence;
  if (!manifest.expires.empty()) json["expires"] = manifest.expires;
  for (const ManifestFile& file : manifest.files) {
    json["files"].push_back({{"path", file.path}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  }
  return json;
}

Result<Manifest> ManifestFromJson(const Json& json, const std::string& what) {
  UNSWIFT_ASSIGN_OR_RETURN(const auto format, GetField<std::string>(json, "format", what));
  UNSWIFT_ASSIGN_OR_RETURN(const int64_t version, GetField<int64_t>(json, "format_version", what));
  if (format != kFormatName || version != kManifestVersion) {
    return MakeError(ErrorCode::kUnsupported,
                     "[read_manifest] {}: expected format '{}' version {}, got '{}' version {}",
                     what, kFormatName, kManifestVersion, format, version);
  }
  Manifest manifest;
  UNSWIFT_ASSIGN_OR_RETURN(manifest.generator,
                           GetFieldOr<std::string>(json, "generator", "", what));
  UNSWIFT_ASSIGN_OR_RETURN(manifest.recipient,
                           GetFieldOr<std::string>(json, "recipient", "", what));
  UNSWIFT_ASSIGN_OR_RETURN(manifest.licence, GetFieldOr<std::string>(json, "licence", "", what));
  UNSWIFT_ASSIGN_OR_RETURN(manifest.expires, GetFieldOr<std::string>(json, "expires", "", what));
  UNSWIFT_ASSIGN_OR_RETURN(manifest.release_version,
                           GetFieldOr<int64_t>(json, "release_version", 0, what));
  if (manifest.release_version < 0) {
    return MakeError(ErrorCode::kInvalidData,
                     "[read_manifest] {}: release_version: expected at least 1, got {}", what,
                     manifest.release_version);
  }
  UNSWIFT_RETURN_IF_ERROR(
      SeriesFromJson(json.value("series", Json::object()), what + ": series", manifest));
  UNSWIFT_RETURN_IF_ERROR(FilesFromJson(json.value("files", Json()), what + ": files", manifest));
  return manifest;
}

Result<ManifestFile> DigestFile(const FileSet& files, const std::string& name) {
  UNSWIFT_ASSIGN_OR_RETURN(const MappedFile file, files.Open(name));
  return ManifestFile{name, static_cast<int64_t>(file.bytes().size()), Sha256HexOfFile(file)};
}

Result<std::vector<ManifestFile>> DigestFiles(const FileSet& model, ThreadPool& pool,
                                              const std::vector<ManifestFile>& known) {
  UNSWIFT_ASSIGN_OR_RETURN(std::vector<std::string> names, model.Names());
  std::erase(names, kSignatureName);
  std::vector<Result<ManifestFile>> found(names.size());
  pool.ParallelForDynamic(static_cast<int64_t>(names.size()), [&](int64_t i, int) {
    const auto same = std::ranges::find(known, names[i], &ManifestFile::path);
    found[i] = same != known.end() ? *same : DigestFile(model, names[i]);
  });
  std::vector<ManifestFile> files;
  for (Result<ManifestFile>& file : found) {
    if (!file) return tl::unexpected<Error>(std::move(file.error()));
    files.push_back(std::move(*file));
  }
  return files;
}

bool IsRelease(const FileSet& model) { return model.Contains(kManifestName); }

Result<Manifest> ReadManifest(const FileSet& release) {
  UNSWIFT_ASSIGN_OR_RETURN(const Json json, ReadJson(release, kManifestName));
  return ManifestFromJson(json, release.PathOf(kManifestName).string());
}

Result<> CompareDigests(const FileSet& release, const Manifest& manifest,
                        const std::vector<ManifestFile>& found) {
  const auto differs = [&](const std::string& name, std::string_view why) {
    return MakeError(ErrorCode::kInvalidData, "[open_release] {}: {}",
                     release.PathOf(name).string(), why);
  };
  std::vector<ManifestFile> others = found;
  std::erase_if(others, [](const ManifestFile& file) { return file.path == kManifestName; });
  auto actual = others.begin();
  for (const ManifestFile& listed : manifest.files) {
    if (actual == others.end() || listed.path < actual->path) {
      return differs(listed.path, "listed in the manifest, but missing");
    }
    if (actual->path < listed.path) return differs(actual->path, "not listed in the manifest");
    if (actual->bytes != listed.bytes || actual->sha256 != listed.sha256) {
      return differs(listed.path, "content does not match the manifest (size or SHA-256)");
    }
    ++actual;
  }
  if (actual != others.end()) return differs(actual->path, "not listed in the manifest");
  return {};
}

Result<> CheckDigests(const FileSet& release, const Manifest& manifest, ThreadPool& pool) {
  UNSWIFT_ASSIGN_OR_RETURN(const std::vector<ManifestFile> found, DigestFiles(release, pool));
  return CompareDigests(release, manifest, found);
}

}  // namespace unswift
