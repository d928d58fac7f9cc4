#include "unswift/model/model_config.h"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "unswift/base/registry.h"
#include "unswift/io/json.h"

namespace unswift {
namespace {

// A size beyond this is a broken file, and products of three of them would still fit in 128 bits.
constexpr int64_t kMaxSize = int64_t{1} << 31;

// A table of layers is made before any tensor is seen.
constexpr int64_t kMaxLayers = 1 << 16;

constexpr char kFullAttention[] = "full_attention";
constexpr char kSlidingAttention[] = "sliding_attention";

Result<int64_t> GetSize(const Json& json, std::string_view key, const std::string& what) {
  UNSWIFT_ASSIGN_OR_RETURN(const int64_t value, GetField<int64_t>(json, key, what));
  if (value < 1 || value > kMaxSize) {
    return MakeError(ErrorCode::kInvalidData, "[read_config] {}: '{}': expected 1..{}, got {}",
                     what, key, kMaxSize, value);
  }
  return value;
}

Result<int64_t> GetSizeOr(const Json& json, std::string_view key, int64_t fallback,
                          const std::string& what) {
  if (key.empty() || !json.contains(key) || json.at(std::string(key)).is_null()) return fallback;
  return GetSize(json, key, what);
}

Result<bool> GetFlag(const Json& json, std::string_view key, bool fallback,
                     const std::string& what) {
  if (key.empty()) return fallback;
  return GetFieldOr<bool>(json, key, fallback, what);
}

Result<std::vector<int32_t>> GetTokenIds(const Json& json, const char* key,
                                         const std::string& what) {
  std::vector<int32_t> ids;
  if (!json.contains(key) || json.at(key).is_null()) return ids;
  const Json& value = json.at(key);
  const Json list = value.is_array() ? value : Json::array({value});
  for (const Json& id : list) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > INT32_MAX) {
      return MakeError(ErrorCode::kInvalidData,
                       "[read_config] {}: '{}': expected token ids, got {}", what, key,
                       value.dump());
    }
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

/// The sizes that must divide or fit each other.
Result<> CheckShape(const ModelConfig& config, const std::string& what) {
  if (config.num_attention_heads % config.num_key_value_heads != 0) {
    return MakeError(ErrorCode::kInvalidData,
                     "[read_config] {}: expected num_attention_heads ({}) to be a multiple of "
                     "num_key_value_heads ({})",
                     what, config.num_attention_heads, config.num_key_value_heads);
  }
  if (!(config.norm_eps > 0.0 && config.norm_eps < 1.0)) {
    return MakeError(ErrorCode::kInvalidData,
                     "[read_config] {}: '{}': expected 0 < eps < 1, got {}", what,
                     config.architecture->keys.norm_eps, config.norm_eps);
  }
  return {};
}

Result<> ReadHeads(const Json& json, const std::string& what, ModelConfig& config) {
  const ConfigKeys& keys = config.architecture->keys;
  UNSWIFT_ASSIGN_OR_RETURN(config.num_attention_heads,
                           GetSize(json, keys.num_attention_heads, what));
  UNSWIFT_ASSIGN_OR_RETURN(config.num_key_value_heads, GetSizeOr(json, keys.num_key_value_heads,
                                                                 config.num_attention_heads, what));
  if (json.contains("head_dim") && !json.at("head_dim").is_null()) {
    UNSWIFT_ASSIGN_OR_RETURN(config.head_dim, GetSize(json, "head_dim", what));
    return {};
  }
  if (config.hidden_size % config.num_attention_heads != 0) {
    return MakeError(
        ErrorCode::kInvalidData,
        "[read_config] {}: expected hidden_size ({}) to be a multiple of the number of "
        "attention heads ({})",
        what, config.hidden_size, config.num_attention_heads);
  }
  config.head_dim = config.hidden_size / config.num_attention_heads;
  return {};
}

/// The first of `keys` that the config has; empty when it has none of them.
std::string_view FirstPresent(const Json& json, std::initializer_list<std::string_view> keys) {
  for (std::string_view key : keys) {
    if (!key.empty() && json.contains(key) && !json.at(std::string(key)).is_null()) return key;
  }
  return "";
}

Result<double> GetFirstOr(const Json& json, std::initializer_list<std::string_view> keys,
                          double fallback, const std::string& what) {
  const std::string_view key = FirstPresent(json, keys);
  return key.empty() ? Result<double>(fallback) : GetField<double>(json, key, what);
}

/// One rope section. transformers 5 writes rope_parameters (per layer type where these differ),
/// earlier versions rope_theta and rope_scaling beside it.
Json RopeSection(const Json& json, const char* layer_type) {
  Json section = Json::object();
  const auto update = [&](const char* key) {
    if (!json.contains(key) || !json.at(key).is_object()) return;
    const Json& found = json.at(key);
    const bool nested = found.contains(layer_type) && found.at(layer_type).is_object();
    section.update(nested ? found.at(layer_type) : found);
  };
  update("rope_parameters");
  update("rope_scaling");
  return section;
}

/// Interpolated positions reach as far as the factor says, where the file keeps the original size.
int64_t ContextLength(const ModelConfig& config) {
  if (config.ropes.size() != 1) return config.max_position_embeddings;
  const RopeConfig& rope = config.ropes.front();
  const bool stretched = rope.scaling == RopeScaling::kLinear ||
                         rope.scaling == RopeScaling::kDynamic ||
                         rope.scaling == RopeScaling::kYarn;
  if (!stretched) return config.max_position_embeddings;
  const double reach = rope.factor * static_cast<double>(rope.original_context);
  return std::max(config.max_position_embeddings,
                  static_cast<int64_t>(std::min(reach, static_cast<double>(kMaxSize))));
}

Result<> ReadRope(const Json& json, const std::string& what, ModelConfig& config) {
  config.context_length = config.max_position_embeddings;
  if (config.architecture->position != PositionKind::kRope) return {};
  const ConfigKeys& keys = config.architecture->keys;
  RopeDefaults defaults;
  defaults.head_dim = config.head_dim;
  defaults.max_position_embeddings = config.max_position_embeddings;
  UNSWIFT_ASSIGN_OR_RETURN(defaults.original_context,
                           GetSizeOr(json, "original_max_position_embeddings", 0, what));
  UNSWIFT_ASSIGN_OR_RETURN(defaults.partial_rotary_factor,
                           GetFirstOr(json, {"partial_rotary_factor", keys.partial_rotary_factor},
                                      defaults.partial_rotary_factor, what));
  UNSWIFT_ASSIGN_OR_RETURN(defaults.theta,
                           GetFirstOr(json, {"rope_theta", keys.rope_theta}, defaults.theta, what));
  UNSWIFT_ASSIGN_OR_RETURN(RopeConfig rope,
                           ParseRope(RopeSection(json, kFullAttention), defaults, what));
  config.ropes.push_back(std::move(rope));
  if (!keys.local_rope_theta.empty()) {
    // The layers with a window have a base of their own and no scaling.
    UNSWIFT_ASSIGN_OR_RETURN(defaults.theta, GetField<double>(json, keys.local_rope_theta, what));
    const Json section = json.value("rope_parameters", Json::object());
    UNSWIFT_ASSIGN_OR_RETURN(
        RopeConfig local,
        ParseRope(
            section.is_object() ? section.value(kSlidingAttention, Json::object()) : Json::object(),
            defaults, what));
    config.ropes.push_back(std::move(local));
  }
  config.context_length = ContextLength(config);
  return {};
}

/// `layer_types`: true where a layer sees a window only.
Result<std::vector<bool>> ListedWindows(const Json& json, const std::string& what,
                                        int64_t num_layers) {
  const Json& list = json.at("layer_types");
  std::vector<bool> windowed;
  for (const Json& type : list) {
    if (type != kFullAttention && type != kSlidingAttention) {
      return MakeError(ErrorCode::kUnsupported,
                       "[read_config] {}: layer type {} is not supported; known: {}, {}", what,
                       type.dump(), kFullAttention, kSlidingAttention);
    }
    windowed.push_back(type == kSlidingAttention);
  }
  if (!list.is_array() || static_cast<int64_t>(windowed.size()) != num_layers) {
    return MakeError(ErrorCode::kInvalidData,
                     "[read_config] {}: 'layer_types': expected {} entries, got {}", what,
                     num_layers, list.size());
  }
  return windowed;
}

/// True where a layer sees a window only, by the rule of the architecture.
Result<std::vector<bool>> WindowedLayers(const Json& json, const std::string& what,
                                         const ModelConfig& config) {
  std::vector<bool> windowed(config.num_hidden_layers, false);
  switch (config.architecture->window) {
    case WindowLayers::kNone:
      return windowed;
    case WindowLayers::kAll:
      windowed.assign(windowed.size(), true);
      return windowed;
    case WindowLayers::kFromMaxWindow: {
      UNSWIFT_ASSIGN_OR_RETURN(const bool use,
                               GetFieldOr<bool>(json, "use_sliding_window", false, what));
      if (!use) return windowed;
      if (json.contains("layer_types") && !json.at("layer_types").is_null()) break;
      UNSWIFT_ASSIGN_OR_RETURN(const int64_t first,
                               GetField<int64_t>(json, "max_window_layers", what));
      for (int64_t i = std::max<int64_t>(first, 0); i < config.num_hidden_layers; ++i) {
        windowed[i] = true;
      }
      return windowed;
    }
    case WindowLayers::kAllButEveryNth: {
      if (json.contains("layer_types") && !json.at("layer_types").is_null()) break;
      UNSWIFT_ASSIGN_OR_RETURN(const int64_t pattern,
                               GetSize(json, "sliding_window_pattern", what));
      for (size_t i = 0; i < windowed.size(); ++i) windowed[i] = (i + 1) % pattern != 0;
      return windowed;
    }
  }
  return ListedWindows(json, what, config.num_hidden_layers);
}

Result<> ReadLayers(const Json& json, const std::string& what, ModelConfig& config) {
  UNSWIFT_ASSIGN_OR_RETURN(const std::vector<bool> windowed, WindowedLayers(json, what, config));
  int64_t window = 0;
  if (std::find(windowed.begin(), windowed.end(), true) != windowed.end()) {
    // null: no window after all
    UNSWIFT_ASSIGN_OR_RETURN(window, GetSizeOr(json, "sliding_window", 0, what));
  }
  for (const bool is_windowed : windowed) {
    LayerConfig layer;
    layer.window = is_windowed ? window : 0;
    layer.rope = is_windowed && config.ropes.size() > 1 ? 1 : 0;
    config.layers.push_back(layer);
  }
  return {};
}

/// A soft cap: null means none.
Result<double> ReadSoftcap(const Json& json, const char* key, const std::string& what) {
  UNSWIFT_ASSIGN_OR_RETURN(const double cap, GetFieldOr<double>(json, key, 0.0, what));
  if (!(cap >= 0.0 && std::isfinite(cap))) {
    return MakeError(ErrorCode::kInvalidData, "[read_config] {}: '{}': expected at least 0, got {}",
                     what, key, cap);
  }
  return cap;
}

/// What the scores of the first layer are multiplied by.
Result<double> ReadAttentionScale(const Json& json, const std::string& what,
                                  const ModelConfig& config) {
  const ConfigKeys& keys = config.architecture->keys;
  UNSWIFT_ASSIGN_OR_RETURN(const bool scaled, GetFlag(json, keys.scaled_scores, true, what));
  if (!scaled) return 1.0;
  if (keys.query_scalar.empty()) return 1.0 / std::sqrt(static_cast<double>(config.head_dim));
  UNSWIFT_ASSIGN_OR_RETURN(const double scalar, GetField<double>(json, keys.query_scalar, what));
  if (!(scalar > 0.0)) {
    return MakeError(ErrorCode::kInvalidData,
                     "[read_config] {}: '{}': expected more than 0, got {}", what,
                     keys.query_scalar, scalar);
  }
  return 1.0 / std::sqrt(scalar);
}

Result<> ReadScores(const Json& json, const std::string& what, ModelConfig& config) {
  UNSWIFT_ASSIGN_OR_RETURN(const double scale, ReadAttentionScale(json, what, config));
  UNSWIFT_ASSIGN_OR_RETURN(const bool by_layer,
                           GetFlag(json, config.architecture->keys.scores_by_layer, false, what));
  for (size_t i = 0; i < config.layers.size(); ++i) {
    config.layers[i].attention_scale = by_layer ? scale / static_cast<double>(i + 1) : scale;
  }
  if (config.architecture->norm_one_plus) {  // the Gemma family
    UNSWIFT_ASSIGN_OR_RETURN(config.attention_softcap,
                             ReadSoftcap(json, "attn_logit_softcapping", what));
    UNSWIFT_ASSIGN_OR_RETURN(config.final_softcap,
                             ReadSoftcap(json, "final_logit_softcapping", what));
  }
  return {};
}

/// Biases, norms of heads, and the form of the block.
Result<> ReadFlags(const Json& json, const std::string& what, ModelConfig& config) {
  const Architecture& architecture = *config.architecture;
  const ConfigKeys& keys = architecture.keys;
  for (const FixedFlag& flag : architecture.fixed_flags) {
    UNSWIFT_ASSIGN_OR_RETURN(const bool value, GetFieldOr<bool>(json, flag.key, flag.value, what));
    if (value != flag.value) {
      return MakeError(ErrorCode::kUnsupported,
                       "[read_config] {}: '{}' = {} is not supported for {}; known: {}", what,
                       flag.key, value, architecture.model_type, flag.value);
    }
  }
  UNSWIFT_ASSIGN_OR_RETURN(config.qkv_bias,
                           GetFlag(json, keys.attention_bias, architecture.qkv_bias, what));
  UNSWIFT_ASSIGN_OR_RETURN(config.o_bias,
                           GetFlag(json, keys.attention_bias, architecture.o_bias, what));
  UNSWIFT_ASSIGN_OR_RETURN(config.mlp_bias,
                           GetFlag(json, keys.mlp_bias, architecture.mlp_bias, what));
  // Without a flag, named weights are there.
  const bool has_head_norms = !architecture.names.q_norm.empty() && keys.qk_norm.empty();
  UNSWIFT_ASSIGN_OR_RETURN(config.qk_norm, GetFlag(json, keys.qk_norm, has_head_norms, what));
  UNSWIFT_ASSIGN_OR_RETURN(
      const bool parallel,
      GetFlag(json, keys.parallel_residual, architecture.block == BlockKind::kParallel, what));
  config.block = parallel ? BlockKind::kParallel : BlockKind::kSequential;
  return {};
}

bool EqualIgnoringCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

Result<> ReadActivation(const Json& json, const std::string& what, ModelConfig& config) {
  const ConfigKeys& keys = config.architecture->keys;
  std::string_view key = FirstPresent(json, {keys.hidden_act_first, keys.hidden_act});
  if (key.empty()) key = keys.hidden_act;
  UNSWIFT_ASSIGN_OR_RETURN(const std::string name, GetField<std::string>(json, key, what));
  auto activation = ParseActivation(name);
  if (!activation) {
    return MakeError(activation.error().code, "[read_config] {}: '{}': {}", what, key,
                     activation.error().message);
  }
  config.hidden_act = *activation;
  return {};
}

/// A classifier or an embedding model shares its type with the language model, not its head.
Result<> CheckClass(const Json& json, const std::string& what, const Architecture& architecture) {
  const auto found = json.find("architectures");
  if (found == json.end() || !found->is_array() || found->empty()) return {};
  for (const Json& name : *found) {
    if (name.is_string() && EqualIgnoringCase(name.get<std::string>(), architecture.name))
      return {};
  }
  return MakeError(ErrorCode::kUnsupported,
                   "[read_config] {}: 'architectures': a {} model of class {} is not supported; "
                   "known: {}",
                   what, architecture.model_type, found->dump(), architecture.name);
}

/// The part of config.json that names the model's own type: a release keeps it in a section.
Result<const Json*> TypeSection(const Json& json, const std::string& what) {
  UNSWIFT_ASSIGN_OR_RETURN(const std::string type, GetField<std::string>(json, "model_type", what));
  if (type != kReleaseModelType) return &json;
  if (!json.contains("unswift") || !json.at("unswift").is_object()) {
    return MakeError(ErrorCode::kInvalidData, "[read_config] {}: expected an 'unswift' section",
                     what);
  }
  return &json.at("unswift");
}

Result<const Architecture*> ReadArchitecture(const Json& json, const std::string& what) {
  UNSWIFT_ASSIGN_OR_RETURN(const Json* section, TypeSection(json, what));
  UNSWIFT_ASSIGN_OR_RETURN(const std::string model_type,
                           GetField<std::string>(*section, "model_type", what));
  auto architecture = FindArchitecture(model_type);
  if (!architecture) {
    architecture.error().message = "[read_config] " + what + ": " + architecture.error().message;
    return architecture;
  }
  UNSWIFT_RETURN_IF_ERROR(CheckClass(*section, what, **architecture));
  return architecture;
}

}  // namespace

Result<Activation> ParseActivation(std::string_view hidden_act) {
  static const Registry<Activation> kActivations("activation",
                                                 {{"silu", Activation::kSilu},
                                                  {"swish", Activation::kSilu},
                                                  {"gelu", Activation::kGeluErf},
                                                  {"gelu_python", Activation::kGeluErf},
                                                  {"gelu_new", Activation::kGeluTanh},
                                                  {"gelu_fast", Activation::kGeluTanh},
                                                  {"gelu_python_tanh", Activation::kGeluTanh},
                                                  {"gelu_pytorch_tanh", Activation::kGeluTanh}});
  return kActivations.Find(hidden_act);
}

Result<ModelConfig> ParseModelConfig(const Json& file, const std::string& what) {
  if (!file.is_object()) {
    return MakeError(ErrorCode::kInvalidData, "[read_config] {}: expected a JSON object", what);
  }
  ModelConfig config;
  config.json = std::make_shared<const Json>(file);
  UNSWIFT_ASSIGN_OR_RETURN(config.architecture, ReadArchitecture(file, what));
  Json json = Json::parse(config.architecture->defaults);
  json.update(file);
  const ConfigKeys& keys = config.architecture->keys;
  UNSWIFT_ASSIGN_OR_RETURN(config.vocab_size, GetSize(json, "vocab_size", what));
  UNSWIFT_ASSIGN_OR_RETURN(config.hidden_size, GetSize(json, keys.hidden_size, what));
  const int64_t default_inner =
      config.architecture->mlp == MlpKind::kPlain ? 4 * config.hidden_size : 0;
  UNSWIFT_ASSIGN_OR_RETURN(config.intermediate_size,
                           default_inner > 0
                               ? GetSizeOr(json, keys.intermediate_size, default_inner, what)
                               : GetSize(json, keys.intermediate_size, what));
  UNSWIFT_ASSIGN_OR_RETURN(config.num_hidden_layers, GetSize(json, keys.num_hidden_layers, what));
  if (config.num_hidden_layers > kMaxLayers) {
    return MakeError(ErrorCode::kInvalidData, "[read_config] {}: '{}': expected 1..{}, got {}",
                     what, keys.num_hidden_layers, kMaxLayers, config.num_hidden_layers);
  }
  UNSWIFT_RETURN_IF_ERROR(ReadHeads(json, what, config));
  UNSWIFT_ASSIGN_OR_RETURN(config.max_position_embeddings,
                           GetSize(json, keys.max_position_embeddings, what));
  UNSWIFT_ASSIGN_OR_RETURN(config.norm_eps, GetField<double>(json, keys.norm_eps, what));
  UNSWIFT_RETURN_IF_ERROR(ReadRope(json, what, config));
  UNSWIFT_RETURN_IF_ERROR(ReadLayers(json, what, config));
  UNSWIFT_RETURN_IF_ERROR(ReadScores(json, what, config));
  UNSWIFT_RETURN_IF_ERROR(ReadActivation(json, what, config));
  UNSWIFT_RETURN_IF_ERROR(ReadFlags(json, what, config));
  UNSWIFT_ASSIGN_OR_RETURN(config.tie_word_embeddings,
                           GetFieldOr<bool>(json, "tie_word_embeddings", false, what));
  UNSWIFT_ASSIGN_OR_RETURN(config.bos_token_ids, GetTokenIds(json, "bos_token_id", what));
  UNSWIFT_ASSIGN_OR_RETURN(config.eos_token_ids, GetTokenIds(json, "eos_token_id", what));
  UNSWIFT_RETURN_IF_ERROR(CheckShape(config, what));
  return config;
}

Result<ModelConfig> ReadModelConfig(const FileSet& model) {
  constexpr char kName[] = "config.json", kGenerationName[] = "generation_config.json";
  UNSWIFT_ASSIGN_OR_RETURN(const Json json, ReadJson(model, kName));
  UNSWIFT_ASSIGN_OR_RETURN(ModelConfig config,
                           ParseModelConfig(json, model.PathOf(kName).string()));
  if (model.Contains(kGenerationName)) {
    UNSWIFT_ASSIGN_OR_RETURN(const Json extra, ReadJson(model, kGenerationName));
    UNSWIFT_ASSIGN_OR_RETURN(
        auto eos, GetTokenIds(extra, "eos_token_id", model.PathOf(kGenerationName).string()));
    if (!eos.empty()) config.eos_token_ids = std::move(eos);
  }
  return config;
}

}  // namespace unswift
