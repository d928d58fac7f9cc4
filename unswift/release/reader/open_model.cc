#include "unswift/release/reader/open_model.h"

#include "unswift/provenance/key.h"
#include "unswift/provenance/unseal.h"
#include "unswift/release/reader/expiry.h"
#include "unswift/release/reader/signature.h"

namespace unswift {
namespace {

namespace fs = std::filesystem;

Result<OpenedFiles> Unsealed(const fs::path& path, const OpenModelOptions& options,
                             ThreadPool& pool, const ProgressFn& progress) {
  if (!options.unseal_key) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "[open_model] {}: a sealed file: expected --unseal-key with a recipient's key",
                     path.string());
  }
  UNSWIFT_ASSIGN_OR_RETURN(const PrivateKey key,
                           PrivateKey::Read(*options.unseal_key, KeyType::kSealing));
  UNSWIFT_ASSIGN_OR_RETURN(UnsealedFiles unsealed, UnsealToMemory(path, key, pool, progress));
  return OpenedFiles{std::move(unsealed.files), std::nullopt, unsealed.locked};
}

/// What the options ask of a release's manifest beyond its own digests.
Result<> CheckTerms(const std::optional<Manifest>& manifest, const FileSet& files,
                    const OpenModelOptions& options) {
  const int64_t version = manifest ? manifest->release_version : 0;
  if (version < options.min_version) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "[open_release] {}: expected release version {} or later, got {}",
                     files.root().string(), options.min_version,
                     version == 0 ? std::string("none") : std::to_string(version));
  }
  if (!manifest || options.ignore_expiry) return {};
  return CheckExpiry(*manifest, Today());
}

}  // namespace

Result<OpenedFiles> OpenModelFiles(const fs::path& path, const OpenModelOptions& options,
                                   ThreadPool& pool, const ProgressFn& progress) {
  if (options.min_version > 0 && !options.require_signature) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "[open_model] --min-version: expected a public key as well "
                     "(--require-signature): an unsigned version says nothing");
  }
  std::error_code ignored;
  OpenedFiles opened{FileSet(path), std::nullopt, std::nullopt};
  if (IsSealedFile(path)) {
    UNSWIFT_ASSIGN_OR_RETURN(opened, Unsealed(path, options, pool, progress));
  } else if (!fs::is_directory(path, ignored)) {
    return MakeError(
        ErrorCode::kNotFound,
        "[open_model] {}: expected a model directory (config.json, *.safetensors) or "
        "a sealed file{}",
        path.string(),
        path.extension() == ".gguf" ? "; 'unswift import' makes a directory of a GGUF file" : "");
  }
  std::optional<PublicKey> signer;
  if (options.require_signature) {
    UNSWIFT_ASSIGN_OR_RETURN(signer,
                             PublicKey::Read(*options.require_signature, KeyType::kSigning));
  }
  UNSWIFT_ASSIGN_OR_RETURN(
      opened.manifest,
      AuthenticateFiles(opened.files, signer ? &*signer : nullptr, options.check_digests, pool));
  UNSWIFT_RETURN_IF_ERROR(CheckTerms(opened.manifest, opened.files, options));
  return opened;
}

Result<OpenedModel> OpenModel(const OpenedFiles& opened) {
  UNSWIFT_ASSIGN_OR_RETURN(ModelConfig config, ReadModelConfig(opened.files));
  UNSWIFT_ASSIGN_OR_RETURN(Checkpoint checkpoint, Checkpoint::Open(opened.files));
  const std::vector<SeriesLayer> series =
      opened.manifest ? opened.manifest->layers : std::vector<SeriesLayer>();
  auto model = Model::Bind(std::move(config), std::move(checkpoint), series);
  if (!model) {
    return MakeError(model.error().code, "{} (in {})", model.error().message,
                     opened.files.root().string());
  }
  return OpenedModel{std::move(model).value(), opened.manifest, opened.files};
}

Result<OpenedModel> OpenModel(const fs::path& path, const OpenModelOptions& options,
                              ThreadPool& pool, const ProgressFn& progress) {
  UNSWIFT_ASSIGN_OR_RETURN(const OpenedFiles opened, OpenModelFiles(path, options, pool, progress));
  return OpenModel(opened);
}

}  // namespace unswift
