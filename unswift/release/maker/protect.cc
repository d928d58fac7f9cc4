#include "unswift/release/maker/protect.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "unswift/base/atomic_directory.h"
#include "unswift/base/random.h"
#include "unswift/io/json.h"
#include "unswift/model/unswift_config.h"
#include "unswift/ops/convert.h"
#include "unswift/release/maker/layer_writer.h"

namespace unswift {
namespace {

namespace fs = std::filesystem;

/// What a release keeps of the original beside weights and config.json.
constexpr const char* kCopiedFiles[] = {"tokenizer.json",
                                        "tokenizer_config.json",
                                        "generation_config.json",
                                        "chat_template.jinja",
                                        "special_tokens_map.json",
                                        "added_tokens.json",
                                        "LICENSE",
                                        "LICENSE.txt",
                                        "NOTICE"};

/// +1 / -1 per unit. Each layer has its own stream of the seed.
std::vector<int8_t> DrawSigns(const ProtectOptions& options, int64_t layer, size_t count) {
  std::vector<int8_t> signs(count, int8_t{1});
  if (!options.sign_flip) return signs;
  Random random(options.seed, static_cast<uint64_t>(layer));
  for (int8_t& sign : signs) sign = random.NextBelow(2) == 0 ? 1 : -1;
  return signs;
}

/// The release directory being written: shards, index, config, manifest.
class ReleaseWriter {
 public:
  ReleaseWriter(const Model& original, const ProtectOptions& options, AtomicDirectory& directory,
                ThreadPool& pool)
      : original_(original),
        options_(options),
        directory_(directory),
        pool_(pool),
        num_shards_(original.config().num_hidden_layers + 1) {}

  /// Writes the tensors that belong to no layer, then every layer, one shard each.
  Result<> WriteShards(const ModelStatistics& statistics, const ProtectPlan& plan,
                       const ProgressFn& progress) {
    auto next = plan.layers.begin();
    const int64_t num_layers = original_.config().num_hidden_layers;
    UNSWIFT_RETURN_IF_ERROR(WriteShard(0, TensorsOutsideLayers(), nullptr));
    for (int64_t layer = 0; layer < num_layers; ++layer) {
      Report(progress, "protect", static_cast<double>(layer) / num_layers);
      const bool chosen = next != plan.layers.end() && next->layer == layer;
      UNSWIFT_RETURN_IF_ERROR(
          WriteLayer(layer, statistics.layers[layer], chosen ? &*next : nullptr));
      if (chosen) ++next;
    }
    Report(progress, "protect", 1.0);
    return {};
  }

  Result<> WriteIndex() const {
    const Json index = {{"metadata", {{"total_size", total_bytes_}}}, {"weight_map", weight_map_}};
    return WriteFile(directory_.path() / "model.safetensors.index.json", index.dump(2) + "\n");
  }

  const std::vector<SeriesLayer>& series() const { return series_; }
  /// Of all shards but the last.
  const std::vector<ManifestFile>& digests() const { return digests_; }

 private:
  Result<> WriteLayer(int64_t layer, const LayerStatistics& statistics, const LayerPlan* plan) {
    const std::string prefix = LayerPrefix(*original_.config().architecture, layer);
    std::vector<std::string> copied = TensorsWithPrefix(prefix);
    if (plan == nullptr) return WriteShard(layer + 1, copied, nullptr);
    const MlpSource source = MlpSourceOf(original_, layer);
    const Activation activation = original_.config().hidden_act;
    UNSWIFT_ASSIGN_OR_RETURN(SeriesFit fit,
                             FitLayer(source, statistics, *plan, options_, activation, pool_));
    const bool use_carry = options_.carry_rounding && !options_.paper;
    SeriesCarry carry;
    if (use_carry) {
      UNSWIFT_ASSIGN_OR_RETURN(carry,
                               MakeCarry(statistics, FitOptionsOf(options_, activation, layer), fit,
                                         source.z_bias, pool_));
    }
    std::vector<int8_t> signs = DrawSigns(options_, layer, plan->selection.units.size());
    FlipSigns(fit, signs);
    if (use_carry) FlipSigns(carry, signs);
    const ProtectedMlp mlp(*original_.config().architecture, prefix, source, plan->selection,
                           std::move(fit), use_carry ? &carry : nullptr, std::move(signs),
                           options_.theta_dtype);
    const std::vector<std::string> replaced = mlp.ReplacedTensors();
    for (const std::string& name : replaced) std::erase(copied, name);
    SeriesLayer entry;
    entry.layer = layer;
    entry.protected_units = static_cast<int64_t>(plan->selection.units.size());
    entry.features = mlp.num_features();
    series_.push_back(entry);
    Result<> status = WriteShard(layer + 1, copied, &mlp);
    for (const std::string& name : replaced) {
      if (original_.checkpoint().Find(name) != nullptr) original_.checkpoint().Release(name);
    }
    return status;
  }

  Result<> WriteShard(int64_t shard, const std::vector<std::string>& copied,
                      const ProtectedMlp* mlp) {
    const std::string name =
        fmt::format("model-{:05}-of-{:05}.safetensors", shard + 1, num_shards_);
    std::vector<TensorSpec> specs;
    if (mlp != nullptr) specs = mlp->Specs();
    for (const std::string& tensor : copied) {
      const TensorView* view = original_.checkpoint().Find(tensor);
      specs.insert(specs.begin(), {tensor, view->dtype, view->shape});
    }
    UNSWIFT_ASSIGN_OR_RETURN(
        SafetensorsWriter writer,
        SafetensorsWriter::Create(directory_.path() / name, specs, {{"format", "pt"}}));
    std::vector<DataPiece> pieces;
    for (auto tensor = copied.rbegin(); tensor != copied.rend(); ++tensor) {
      const TensorView* view = original_.checkpoint().Find(*tensor);
      AppendAsPieces({view->data, static_cast<size_t>(view->num_bytes)}, pieces);
    }
    if (mlp != nullptr) std::ranges::move(mlp->Pieces(), std::back_inserter(pieces));
    UNSWIFT_RETURN_IF_ERROR(writer.AppendPieces(pieces, pool_, [&] { DigestLastShard(); }));
    for (const std::string& tensor : copied) original_.checkpoint().Release(tensor);
    UNSWIFT_RETURN_IF_ERROR(writer.Finish());
    last_shard_ = name;
    for (const TensorSpec& spec : specs) weight_map_[spec.name] = name;
    total_bytes_ += writer.bytes_written();
    return {};
  }

  /// Of the shard before this one, which is whole; a failure is left to the pass over all files.
  void DigestLastShard() {
    if (last_shard_.empty()) return;
    Result<ManifestFile> digest = DigestFile(directory_.path(), last_shard_);
    if (digest) digests_.push_back(std::move(*digest));
  }

  std::vector<std::string> TensorsWithPrefix(const std::string& prefix) const {
    std::vector<std::string> names;
    for (const auto& [name, view] : original_.checkpoint().tensors()) {
      if (name.starts_with(prefix)) names.push_back(name);
    }
    return names;
  }

  std::vector<std::string> TensorsOutsideLayers() const {
    std::vector<std::string> names;
    const int64_t num_layers = original_.config().num_hidden_layers;
    std::set<std::string> prefixes;
    for (int64_t layer = 0; layer < num_layers; ++layer) {
      prefixes.insert(LayerPrefix(*original_.config().architecture, layer));
    }
    for (const auto& tensor : original_.checkpoint().tensors()) {
      const std::string_view name = tensor.first;
      const bool inside = std::any_of(prefixes.begin(), prefixes.end(),
                                      [&](const auto& prefix) { return name.starts_with(prefix); });
      if (!inside) names.push_back(tensor.first);
    }
    return names;
  }

  const Model& original_;
  const ProtectOptions& options_;
  AtomicDirectory& directory_;
  ThreadPool& pool_;
  const int64_t num_shards_;
  int64_t total_bytes_ = 0;
  Json weight_map_ = Json::object();
  std::vector<SeriesLayer> series_;
  std::string last_shard_;
  std::vector<ManifestFile> digests_;
};

Result<> CopyFiles(const fs::path& source, const fs::path& target) {
  for (const char* name : kCopiedFiles) {
    if (!fs::exists(source / name)) continue;
    UNSWIFT_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(source / name));
    UNSWIFT_RETURN_IF_ERROR(WriteFile(target / name, bytes));
  }
  return {};
}

/// Every weight that goes into a release, changed or not, must be a number.
Result<> CheckFinite(const Checkpoint& checkpoint, ThreadPool& pool) {
  std::vector<const std::pair<const std::string, TensorView>*> tensors;
  for (const auto& entry : checkpoint.tensors()) tensors.push_back(&entry);
  std::vector<char> finite(tensors.size(), 1);
  pool.ParallelForDynamic(static_cast<int64_t>(tensors.size()), [&](int64_t i, int) {
    const auto& [name, view] = *tensors[i];
    if (!IsFloat(view.dtype)) return;
    finite[i] = AllFinite(view.dtype, view.data, view.num_elements());
    checkpoint.Release(name);
  });
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (finite[i]) continue;
    const std::string& name = tensors[i]->first;
    return MakeError(ErrorCode::kInvalidData,
                     "[protect] {}: tensor '{}': expected finite values, got NaN or infinity",
                     checkpoint.FileOf(name).path().string(), name);
  }
  return {};
}

Manifest ManifestOf(const ProtectPlan& plan, const ProtectOptions& options,
                    const std::vector<SeriesLayer>& layers) {
  Manifest manifest;
  manifest.generator = options.generator;
  manifest.basis = options.basis;
  manifest.guard = options.guard;
  const PaperOptions paper;
  manifest.cutoff = paper.cutoff;
  manifest.cutoff_order = paper.cutoff_order;
  manifest.theta_dtype = options.theta_dtype;
  manifest.preset = options.preset;
  manifest.allocation = options.allocation == Allocation::kAdaptive ? "adaptive" : "uniform";
  manifest.rounding = options.carry_rounding ? "carry" : "nearest";
  manifest.sign_flip = options.sign_flip;
  manifest.mean_order = plan.mean_order;
  manifest.predicted_slowdown = plan.predicted_slowdown;
  manifest.layers = layers;
  manifest.release_version = options.release_version;
  manifest.recipient = options.recipient;
  manifest.licence = options.licence;
  manifest.expires = options.expires;
  return manifest;
}

}  // namespace

Result<> CheckProtectTarget(const fs::path& source, const fs::path& target, bool replace) {
  if (!fs::exists(source / "tokenizer.json")) {
    return MakeError(ErrorCode::kNotFound,
                     "[protect] {}: missing: a release needs the model's tokenizer",
                     (source / "tokenizer.json").string());
  }
  // Tries the target now: a bad one should not cost a calibration.
  UNSWIFT_ASSIGN_OR_RETURN(const AtomicDirectory probe, AtomicDirectory::Create(target, replace));
  return {};
}

Result<Model> OpenOriginal(const fs::path& source, ThreadPool& pool) {
  if (IsRelease(source)) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "[protect] {}: expected an original checkpoint, got a release",
                     source.string());
  }
  UNSWIFT_ASSIGN_OR_RETURN(ModelConfig config, ReadModelConfig(source));
  UNSWIFT_ASSIGN_OR_RETURN(Checkpoint checkpoint, Checkpoint::Open(source));
  UNSWIFT_ASSIGN_OR_RETURN(
      Model model, Model::Bind(std::move(config), std::move(checkpoint), {}, Conv1dWeights::kKeep));
  if (model.has_quantized_weights()) {
    return MakeError(ErrorCode::kUnsupported,
                     "[protect] {}: expected f32, f16 or bf16 weights, got quantised ones; protect "
                     "the model that they were made from (--dtype is theta's, --weights q8_0 at "
                     "load the others')",
                     source.string());
  }
  UNSWIFT_RETURN_IF_ERROR(CheckFinite(model.checkpoint(), pool));
  return model;
}

Result<ProtectReport> Protect(const fs::path& source, const Model& original,
                              const ModelStatistics& statistics, const ProtectOptions& options,
                              const fs::path& target, ThreadPool& pool,
                              const ProgressFn& progress) {
  UNSWIFT_ASSIGN_OR_RETURN(AtomicDirectory directory,
                           AtomicDirectory::Create(target, options.replace));
  UNSWIFT_ASSIGN_OR_RETURN(const ProtectPlan plan,
                           MakePlan(original, statistics, options, pool, progress));
  ReleaseWriter writer(original, options, directory, pool);
  UNSWIFT_RETURN_IF_ERROR(writer.WriteShards(statistics, plan, progress));
  UNSWIFT_RETURN_IF_ERROR(writer.WriteIndex());
  UNSWIFT_RETURN_IF_ERROR(CopyFiles(source, directory.path()));
  const Json config = UnswiftConfig(*original.config().json, {{"manifest", kManifestName}});
  UNSWIFT_RETURN_IF_ERROR(WriteFile(directory.path() / "config.json", config.dump(2) + "\n"));
  Report(progress, "digest", 0.0);
  Manifest manifest = ManifestOf(plan, options, writer.series());
  UNSWIFT_ASSIGN_OR_RETURN(manifest.files, DigestFiles(directory.path(), pool, writer.digests()));
  const std::string manifest_text = ManifestToJson(manifest).dump(2) + "\n";
  UNSWIFT_RETURN_IF_ERROR(WriteFile(directory.path() / kManifestName, manifest_text));
  UNSWIFT_RETURN_IF_ERROR(directory.Commit());
  Report(progress, "digest", 1.0);

  ProtectReport report;
  report.bytes = static_cast<int64_t>(manifest_text.size());
  for (const ManifestFile& file : manifest.files) report.bytes += file.bytes;
  for (const auto& [name, view] : original.checkpoint().tensors()) {
    report.original_bytes += view.num_bytes;
  }
  report.mean_order = plan.mean_order;
  report.protected_units = manifest.protected_units();
  report.predicted_slowdown = plan.predicted_slowdown;
  return report;
}

}  // namespace unswift
