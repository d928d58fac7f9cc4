#include "unswift/release/reader/open_model.h"

namespace unswift {

Result<OpenedModel> OpenModel(const std::filesystem::path& directory,
                              const OpenModelOptions& options, ThreadPool& pool) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(directory, ignored)) {
    return MakeError(ErrorCode::kNotFound,
                     "[open_model] {}: expected a model directory (config.json, *.safetensors)",
                     directory.string());
  }
  std::optional<Manifest> manifest;
  std::vector<SeriesLayer> series;
  if (IsRelease(directory)) {
    UNSWIFT_ASSIGN_OR_RETURN(manifest, ReadManifest(directory));
    if (options.check_digests) {
      UNSWIFT_RETURN_IF_ERROR(CheckDigests(directory, *manifest, pool));
    }
    series = manifest->layers;
  }
  UNSWIFT_ASSIGN_OR_RETURN(ModelConfig config, ReadModelConfig(directory));
  UNSWIFT_ASSIGN_OR_RETURN(Checkpoint checkpoint, Checkpoint::Open(directory));
  auto model = Model::Bind(std::move(config), std::move(checkpoint), series);
  if (!model) {
    return MakeError(model.error().code, "{} (in {})", model.error().message, directory.string());
  }
  OpenedModel opened{std::move(model).value(), std::move(manifest), {}};
  if (options.weights) opened.loss = opened.model.ConvertWeights(*options.weights, pool);
  return opened;
}

}  // namespace unswift
