#include "unswift/audit/recovered_model.h"

#include <cstring>

#include "unswift/base/atomic_directory.h"
#include "unswift/base/mapped_file.h"
#include "unswift/io/json.h"
#include "unswift/ops/convert.h"

namespace unswift {
namespace {

namespace fs = std::filesystem;

/// Negates stored values of sign -1; step bytes from one value of a unit to its next.
void NegateUnit(std::byte* first, int64_t count, int64_t step, int64_t element) {
  for (int64_t i = 0; i < count; ++i) first[i * step + element - 1] ^= std::byte{0x80};
}

std::vector<std::byte> ToStored(DType dtype, const std::vector<float>& values) {
  std::vector<std::byte> stored(values.size() * BlockBytes(dtype));
  FastRowFromF32(dtype, values, stored.data());
  return stored;
}

/// down_proj with the protected columns in front, [hidden, inner] or (conv1d) [inner, hidden].
std::vector<std::byte> MergedDown(const RecoveredLayer& recovered, const TensorView* plain,
                                  int64_t inner, bool conv1d) {
  const int64_t element = BlockBytes(recovered.dtype), hidden = recovered.hidden_size;
  std::vector<std::byte> merged(hidden * inner * element);
  const int64_t rest = inner - recovered.units;
  if (conv1d) {
    for (int64_t i = 0; i < hidden; ++i) {
      const std::byte* row = recovered.down_view().row(i);
      for (int64_t j = 0; j < recovered.units; ++j) {
        std::memcpy(merged.data() + (j * hidden + i) * element, row + j * element, element);
      }
    }
    if (rest > 0) {
      std::memcpy(merged.data() + recovered.units * hidden * element, plain->data,
                  plain->num_bytes);
    }
    return merged;
  }
  for (int64_t i = 0; i < hidden; ++i) {
    std::byte* to = merged.data() + i * inner * element;
    std::memcpy(to, recovered.down_view().row(i), recovered.units * element);
    if (rest == 0) continue;
    std::memcpy(to + recovered.units * element, plain->data + i * rest * element, rest * element);
  }
  return merged;
}

}  // namespace

/// A tensor to write: stored as it is, or new bytes.
struct RecoveredModelWriter::Piece {
  TensorSpec spec;
  std::span<const std::byte> stored;
  std::vector<std::byte> made;
  std::span<const std::byte> bytes() const {
    return made.empty() ? stored : std::span<const std::byte>(made);
  }
};

Json OriginalConfig(const Json& release_config) {
  Json config = release_config;
  const Json section = config.value("unswift", Json::object());
  config["model_type"] = section.value("model_type", "");
  config["architectures"] = section.value("architectures", Json::array());
  config.erase("unswift");
  return config;
}

RecoveredModelWriter::RecoveredModelWriter(const Model& release, fs::path release_directory,
                                           fs::path directory)
    : release_(release),
      release_directory_(std::move(release_directory)),
      directory_(std::move(directory)),
      num_shards_(release.config().num_hidden_layers + 1) {}

RecoveredModelWriter::Piece RecoveredModelWriter::Stored(const std::string& name) const {
  const TensorView* view = release_.checkpoint().Find(name);
  Piece piece;
  piece.spec = {name, view->dtype, view->shape};
  piece.stored = {view->data, static_cast<size_t>(view->num_bytes)};
  return piece;
}

std::vector<RecoveredModelWriter::Piece> RecoveredModelWriter::PiecesOf(
    int64_t layer, const RecoveredLayer& recovered) const {
  const Architecture& architecture = *release_.config().architecture;
  const WeightNames& names = architecture.names;
  const MlpWeights& mlp = release_.layers()[layer].mlp;
  const std::string prefix = LayerPrefix(architecture, layer);
  const int64_t inner = release_.config().intermediate_size, hidden = recovered.hidden_size;
  const int64_t element = BlockBytes(recovered.dtype);
  const bool gated = architecture.mlp == MlpKind::kGated, conv1d = architecture.conv1d;
  std::vector<Piece> pieces;
  const auto add_made = [&](std::string name, Shape shape, std::vector<std::byte> bytes) {
    Piece piece;
    piece.spec = {std::move(name), recovered.dtype, std::move(shape)};
    piece.made = std::move(bytes);
    pieces.push_back(std::move(piece));
  };
  const auto add_bias = [&](std::string_view part, std::vector<float> bias) {
    if (bias.empty()) return;
    const Shape shape{static_cast<int64_t>(bias.size())};
    add_made(prefix + std::string(part) + ".bias", shape, ToStored(recovered.dtype, bias));
  };
  const std::string_view z_part = gated ? names.gate_proj : names.up_proj;
  Piece input = Stored(prefix + std::string(z_part) + ".weight");
  input.made.assign(input.stored.begin(), input.stored.end());
  for (int64_t j = 0; j < recovered.units; ++j) {
    if (recovered.sign[j] > 0) continue;
    std::byte* first = input.made.data() + (conv1d ? j : j * hidden) * element;
    NegateUnit(first, hidden, (conv1d ? inner : 1) * element, element);
  }
  pieces.push_back(std::move(input));
  std::vector<float> z_bias = (gated ? mlp.gate_proj : mlp.up_proj).bias;
  std::copy(recovered.z_bias.begin(), recovered.z_bias.end(), z_bias.begin());
  add_bias(z_part, std::move(z_bias));
  if (gated) {
    pieces.push_back(Stored(prefix + std::string(names.up_proj) + ".weight"));
    add_bias(names.up_proj, mlp.up_proj.bias);
  }
  const std::string down = prefix + std::string(names.down_proj) + ".weight";
  add_made(down, conv1d ? Shape{inner, hidden} : Shape{hidden, inner},
           MergedDown(recovered, release_.checkpoint().Find(down), inner, conv1d));
  if (release_.config().mlp_bias) add_bias(names.down_proj, recovered.output_bias);
  return pieces;
}

Result<> RecoveredModelWriter::WriteShard(int64_t shard, const std::vector<Piece>& pieces) {
  const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", shard + 1, num_shards_);
  std::vector<TensorSpec> specs;
  for (const Piece& piece : pieces) specs.push_back(piece.spec);
  UNSWIFT_ASSIGN_OR_RETURN(SafetensorsWriter writer,
                           SafetensorsWriter::Create(directory_ / name, specs, {{"format", "pt"}}));
  for (const Piece& piece : pieces) {
    UNSWIFT_RETURN_IF_ERROR(writer.Append(piece.bytes()));
    weight_map_[piece.spec.name] = name;
    total_bytes_ += static_cast<int64_t>(piece.bytes().size());
  }
  return writer.Finish();
}

Result<> RecoveredModelWriter::WriteLayer(int64_t layer, const RecoveredLayer* recovered) {
  const Architecture& architecture = *release_.config().architecture;
  const std::string prefix = LayerPrefix(architecture, layer);
  std::vector<std::string> mlp_prefixes;
  if (recovered != nullptr) {
    for (std::string_view part : {architecture.names.gate_proj, architecture.names.up_proj,
                                  architecture.names.down_proj, architecture.names.series}) {
      if (!part.empty()) mlp_prefixes.push_back(prefix + std::string(part) + ".");
    }
  }
  std::vector<Piece> pieces;
  for (const auto& [name, view] : release_.checkpoint().tensors()) {
    const auto starts = [&, &tensor = name](const std::string& p) { return tensor.starts_with(p); };
    if (!starts(prefix) || std::any_of(mlp_prefixes.begin(), mlp_prefixes.end(), starts)) continue;
    pieces.push_back(Stored(name));
  }
  if (recovered != nullptr) {
    for (Piece& piece : PiecesOf(layer, *recovered)) pieces.push_back(std::move(piece));
  }
  return WriteShard(layer + 1, pieces);
}

Result<> RecoveredModelWriter::CopyFiles() const {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(release_directory_, error)) {
    const std::string name = entry.path().filename().string();
    const bool own = name == kManifestName || name == kSignatureName || name == "config.json" ||
                     name.find(".safetensors") != name.npos;
    if (own || !entry.is_regular_file()) continue;
    UNSWIFT_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(entry.path()));
    UNSWIFT_RETURN_IF_ERROR(WriteFile(directory_ / name, bytes));
  }
  if (!error) return {};
  return MakeError(ErrorCode::kIo, "[audit] {}: {}", release_directory_.string(), error.message());
}

Result<> RecoveredModelWriter::Finish() {
  const std::string layers = std::string(release_.config().architecture->names.layers) + ".";
  std::vector<Piece> pieces;
  for (const auto& [name, view] : release_.checkpoint().tensors()) {
    if (!name.starts_with(layers)) pieces.push_back(Stored(name));
  }
  UNSWIFT_RETURN_IF_ERROR(WriteShard(0, pieces));
  const Json index = {{"metadata", {{"total_size", total_bytes_}}}, {"weight_map", weight_map_}};
  UNSWIFT_RETURN_IF_ERROR(
      WriteFile(directory_ / "model.safetensors.index.json", index.dump(2) + "\n"));
  UNSWIFT_RETURN_IF_ERROR(WriteFile(directory_ / "config.json",
                                    OriginalConfig(*release_.config().json).dump(2) + "\n"));
  return CopyFiles();
}

}  // namespace unswift
