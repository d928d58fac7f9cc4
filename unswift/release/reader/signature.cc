#include "unswift/release/reader/signature.h"

#include "unswift/base/atomic_directory.h"
#include "unswift/provenance/signature_bundle.h"
#include "unswift/provenance/statement.h"

namespace unswift {
namespace {

std::vector<SignedFile> SignedFilesOf(const std::vector<ManifestFile>& files) {
  std::vector<SignedFile> list;
  for (const ManifestFile& file : files) list.push_back({file.path, file.sha256});
  return list;
}

/// The name of a directory, for information.
std::string NameOf(const std::filesystem::path& directory) {
  const std::filesystem::path path = std::filesystem::absolute(directory).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

}  // namespace

Result<std::vector<ManifestFile>> SignModel(const std::filesystem::path& directory,
                                            const PrivateKey& key, bool replace, ThreadPool& pool) {
  const FileSet model(directory);
  if (!replace && model.Contains(kSignatureName)) {
    return MakeError(ErrorCode::kAlreadyExists, "[sign] {}: exists already (--force replaces it)",
                     model.PathOf(kSignatureName).string());
  }
  UNSWIFT_ASSIGN_OR_RETURN(std::vector<ManifestFile> files, DigestFiles(model, pool));
  if (IsRelease(model)) {
    UNSWIFT_ASSIGN_OR_RETURN(const Manifest manifest, ReadManifest(model));
    UNSWIFT_RETURN_IF_ERROR(CompareDigests(model, manifest, files));
  }
  UNSWIFT_ASSIGN_OR_RETURN(
      const std::string bundle,
      SignPayload(MakeStatement(NameOf(directory), SignedFilesOf(files)), key));
  UNSWIFT_RETURN_IF_ERROR(
      WriteFileAtomically(model.PathOf(kSignatureName), bundle, /*replace=*/replace));
  return files;
}

Result<> CheckSignature(const FileSet& model, const PublicKey& key,
                        const std::vector<ManifestFile>& found) {
  const std::string what = model.PathOf(kSignatureName).string();
  if (!model.Contains(kSignatureName)) {
    return MakeError(ErrorCode::kNotFound, "[verify_signature] {}: expected a signature, got none",
                     what);
  }
  UNSWIFT_ASSIGN_OR_RETURN(const MappedFile file, model.Open(kSignatureName));
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()),
                              file.bytes().size());
  UNSWIFT_ASSIGN_OR_RETURN(const std::string payload, VerifyBundle(text, what, key));
  UNSWIFT_ASSIGN_OR_RETURN(const std::vector<SignedFile> listed, ReadStatement(payload, what));
  const auto differs = [&](const std::string& name, std::string_view why) {
    return MakeError(ErrorCode::kInvalidData, "[verify_signature] {}: {}",
                     model.PathOf(name).string(), why);
  };
  auto actual = found.begin();
  for (const SignedFile& expected : listed) {
    if (actual == found.end() || expected.path < actual->path) {
      return differs(expected.path, "signed, but missing");
    }
    if (actual->path < expected.path) return differs(actual->path, "not signed");
    if (actual->sha256 != expected.sha256) return differs(actual->path, "not what was signed");
    ++actual;
  }
  if (actual != found.end()) return differs(actual->path, "not signed");
  return {};
}

Result<std::optional<Manifest>> AuthenticateFiles(const FileSet& model, const PublicKey* signer,
                                                  bool check_digests, ThreadPool& pool) {
  const bool release = IsRelease(model);
  const bool digest = signer != nullptr || (release && check_digests);
  std::vector<ManifestFile> found;
  if (digest) {
    UNSWIFT_ASSIGN_OR_RETURN(found, DigestFiles(model, pool));
  }
  if (signer != nullptr) UNSWIFT_RETURN_IF_ERROR(CheckSignature(model, *signer, found));
  if (!release) return std::optional<Manifest>();
  UNSWIFT_ASSIGN_OR_RETURN(Manifest manifest, ReadManifest(model));
  if (digest) UNSWIFT_RETURN_IF_ERROR(CompareDigests(model, manifest, found));
  return std::optional<Manifest>(std::move(manifest));
}

}  // namespace unswift
