#include "unswift/model/model_config.h"

#include "unswift/base/registry.h"

namespace unswift {
namespace {

// A size beyond this is a broken file, and products of three of them would still fit in 128 bits.
constexpr int64_t kMaxSize = int64_t{1} << 31;

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
  if (config.architecture->position == PositionKind::kRope && config.head_dim % 2 != 0) {
    return MakeError(ErrorCode::kInvalidData, "[read_config] {}: expected an even head_dim, got {}",
                     what, config.head_dim);
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

Result<> ReadRope(const Json& json, const std::string& what, ModelConfig& config) {
  if (config.architecture->position != PositionKind::kRope) return {};
  // transformers 5 writes rope_parameters, earlier versions rope_theta and rope_scaling.
  Json rope = json;
  if (json.contains("rope_parameters") && json.at("rope_parameters").is_object()) {
    rope = json.at("rope_parameters");
  }
  if (json.contains("rope_scaling") && json.at("rope_scaling").is_object()) {
    rope.update(json.at("rope_scaling"));
  }
  const std::string type_key = rope.contains("rope_type") ? "rope_type" : "type";
  UNSWIFT_ASSIGN_OR_RETURN(const std::string type,
                           GetFieldOr<std::string>(rope, type_key, "default", what));
  if (type != "default") {
    return MakeError(ErrorCode::kUnsupported,
                     "[read_config] {}: rope scaling '{}' is not supported; known: default", what,
                     type);
  }
  UNSWIFT_ASSIGN_OR_RETURN(config.rope_theta,
                           GetFieldOr<double>(rope, "rope_theta", 10000.0, what));
  if (!(config.rope_theta > 0.0)) {
    return MakeError(ErrorCode::kInvalidData, "[read_config] {}: expected rope_theta > 0, got {}",
                     what, config.rope_theta);
  }
  return {};
}

Result<std::string> ModelTypeOf(const Json& json, const std::string& what) {
  UNSWIFT_ASSIGN_OR_RETURN(std::string type, GetField<std::string>(json, "model_type", what));
  if (type != kReleaseModelType) return type;
  if (!json.contains("unswift") || !json.at("unswift").is_object()) {
    return MakeError(ErrorCode::kInvalidData, "[read_config] {}: expected an 'unswift' section",
                     what);
  }
  return GetField<std::string>(json.at("unswift"), "model_type", what + ": unswift");
}

}  // namespace

Result<Activation> ParseActivation(std::string_view hidden_act) {
  static const Registry<Activation> kActivations("activation",
                                                 {{"silu", Activation::kSilu},
                                                  {"swish", Activation::kSilu},
                                                  {"gelu", Activation::kGeluErf},
                                                  {"gelu_new", Activation::kGeluTanh},
                                                  {"gelu_pytorch_tanh", Activation::kGeluTanh}});
  return kActivations.Find(hidden_act);
}

Result<ModelConfig> ParseModelConfig(const Json& json, const std::string& what) {
  if (!json.is_object()) {
    return MakeError(ErrorCode::kInvalidData, "[read_config] {}: expected a JSON object", what);
  }
  ModelConfig config;
  config.json = json;
  UNSWIFT_ASSIGN_OR_RETURN(const std::string model_type, ModelTypeOf(json, what));
  auto architecture = FindArchitecture(model_type);
  if (!architecture) {
    architecture.error().message = "[read_config] " + what + ": " + architecture.error().message;
    return tl::unexpected<Error>(architecture.error());
  }
  config.architecture = *architecture;
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
  UNSWIFT_RETURN_IF_ERROR(ReadHeads(json, what, config));
  UNSWIFT_ASSIGN_OR_RETURN(config.max_position_embeddings,
                           GetSize(json, keys.max_position_embeddings, what));
  UNSWIFT_ASSIGN_OR_RETURN(config.norm_eps, GetField<double>(json, keys.norm_eps, what));
  UNSWIFT_RETURN_IF_ERROR(ReadRope(json, what, config));
  UNSWIFT_ASSIGN_OR_RETURN(const std::string act,
                           GetField<std::string>(json, keys.hidden_act, what));
  UNSWIFT_ASSIGN_OR_RETURN(config.hidden_act, ParseActivation(act));
  const bool linear_bias = config.architecture->linear_bias;
  UNSWIFT_ASSIGN_OR_RETURN(config.attention_bias,
                           GetFlag(json, keys.attention_bias, linear_bias, what));
  UNSWIFT_ASSIGN_OR_RETURN(config.mlp_bias, GetFlag(json, keys.mlp_bias, linear_bias, what));
  UNSWIFT_ASSIGN_OR_RETURN(
      config.tie_word_embeddings,
      GetFieldOr<bool>(json, "tie_word_embeddings", keys.tie_word_embeddings_default, what));
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
