#include "unswift/model/gguf_config.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "unswift/io/json.h"
#include "unswift/io/text.h"

namespace unswift {
namespace {

/// The values of a small float tensor of the file; empty when it is not there.
Result<std::vector<float>> ReadVector(const GgufSettings& settings, std::string_view name,
                                      int64_t size) {
  std::vector<float> values;
  const GgufTensor* tensor = settings.file().FindTensor(name);
  if (tensor == nullptr) return values;
  if (tensor->shape != Shape{size}) {
    return settings.Fail(fmt::format("tensor '{}': expected shape {}, got {}", name,
                                     ShapeString({size}), ShapeString(tensor->shape)));
  }
  values.resize(size);
  UNSWIFT_RETURN_IF_ERROR(settings.file().DequantizeRows(*tensor, 0, values));
  if (std::all_of(values.begin(), values.end(), [](float v) { return v > 0 && v < 1e6f; })) {
    return values;
  }
  return settings.Fail(fmt::format("tensor '{}': expected positive numbers", name));
}

/// Llama 3's division of each RoPE frequency: 1 for short waves, `factor` for long ones, smooth in
/// between. Source: the rope_type "llama3" of transformers.
double Llama3Factor(double wavelength, double factor) {
  constexpr double kLow = 1.0, kHigh = 4.0, kContext = 8192.0;
  if (wavelength < kContext / kHigh) return 1.0;
  if (wavelength > kContext / kLow) return factor;
  const double smooth = (kContext / wavelength - kLow) / (kHigh - kLow);
  return 1.0 / ((1.0 - smooth) / factor + smooth);
}

/// rope_freqs.weight holds Llama 3's divisors. They are accepted when they are those of the
/// settings with which all of these models were released.
Result<> ReadRopeFrequencies(const GgufSettings& settings, const GgufSizes& sizes, double theta,
                             Json& config) {
  UNSWIFT_ASSIGN_OR_RETURN(
      const std::vector<float> divisors,
      ReadVector(settings, "rope_freqs.weight", std::max<int64_t>(sizes.rope_dim / 2, 1)));
  if (divisors.empty()) return {};
  const double factor = *std::max_element(divisors.begin(), divisors.end());
  for (size_t i = 0; i < divisors.size(); ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(sizes.rope_dim);
    const double expected =
        Llama3Factor(2.0 * std::numbers::pi * std::pow(theta, exponent), factor);
    if (std::abs(divisors[i] - expected) > 1e-4 * expected) {
      return settings.Fail(
          fmt::format("tensor 'rope_freqs.weight': expected Llama 3's divisors for a factor of "
                      "{}, got {} instead of {} at {}",
                      factor, divisors[i], expected, i),
          ErrorCode::kUnsupported);
    }
  }
  config["rope_scaling"] = {{"rope_type", "llama3"},
                            {"factor", factor},
                            {"low_freq_factor", 1.0},
                            {"high_freq_factor", 4.0},
                            {"original_max_position_embeddings", 8192}};
  return {};
}

/// rope.scaling.type: none, linear or yarn (with transformers' default betas).
Result<> ReadRopeScaling(const GgufSettings& settings, Json& config) {
  UNSWIFT_ASSIGN_OR_RETURN(const std::string type,
                           settings.GetOr<std::string>("rope.scaling.type", "none"));
  UNSWIFT_ASSIGN_OR_RETURN(const double factor, settings.GetOr<double>("rope.scaling.factor", 1.0));
  if (!(factor >= 1.0) || !std::isfinite(factor)) {
    return settings.Fail(fmt::format("'{}': expected at least 1, got {}",
                                     settings.Key("rope.scaling.factor"), factor));
  }
  const std::string key = settings.Key("rope.scaling.type");
  if (type == "none" || (type == "linear" && factor == 1.0)) {
    if (factor == 1.0) return {};
    return settings.Fail(fmt::format("'{}': expected 1 without a scaling type, got {}",
                                     settings.Key("rope.scaling.factor"), factor));
  }
  if (type == "linear") {
    config["rope_scaling"] = {{"rope_type", "linear"}, {"factor", factor}};
    return {};
  }
  if (type != "yarn") {
    return settings.Fail(
        fmt::format("'{}': expected none, linear or yarn, got '{}'", key, Shorten(type)),
        ErrorCode::kUnsupported);
  }
  UNSWIFT_ASSIGN_OR_RETURN(const int64_t original,
                           settings.Size("rope.scaling.original_context_length"));
  config["rope_scaling"] = {
      {"rope_type", "yarn"}, {"factor", factor}, {"original_max_position_embeddings", original}};
  return {};
}

Result<double> RopeTheta(const GgufSettings& settings, double fallback) {
  UNSWIFT_ASSIGN_OR_RETURN(const double theta, settings.GetOr<double>("rope.freq_base", fallback));
  if (theta > 0 && std::isfinite(theta)) return theta;
  return settings.Fail(fmt::format("'{}': expected a positive number, got {}",
                                   settings.Key("rope.freq_base"), theta));
}

Result<> ConfigureRope(const GgufSettings& settings, Json& config) {
  UNSWIFT_ASSIGN_OR_RETURN(config["rope_theta"], RopeTheta(settings, 10000.0));
  return ReadRopeScaling(settings, config);
}

double PartialRotaryFactor(const GgufSizes& sizes) {
  return static_cast<double>(sizes.rope_dim) / static_cast<double>(sizes.head_dim);
}

/// Every `period`-th layer sees everything, the others a window.
Json LayerTypes(int64_t layers, int64_t period) {
  Json types = Json::array();
  for (int64_t i = 0; i < layers; ++i) {
    types.push_back((i + 1) % period == 0 ? "full_attention" : "sliding_attention");
  }
  return types;
}

/// Where one matrix holds q, k and v of equal sizes.
Result<> CheckWholeHeads(const GgufSettings& settings, const GgufSizes& sizes) {
  if (sizes.kv_heads == sizes.heads && sizes.head_dim * sizes.heads == sizes.hidden) return {};
  return settings.Fail("expected heads that divide the hidden size, with a key head each");
}

/// GGUF does not hold it: llama.cpp scales by the head's size, and the 27B models, told by their
/// number of layers, by the hidden size per head.
int64_t QueryPreAttentionScalar(const GgufSizes& sizes, int64_t layers_of_27b) {
  return sizes.layers == layers_of_27b ? sizes.hidden / sizes.heads : sizes.head_dim;
}

}  // namespace

Result<> ConfigureLlama(const GgufSettings& settings, const GgufSizes& sizes, Json& config) {
  UNSWIFT_RETURN_IF_ERROR(ConfigureRope(settings, config));
  UNSWIFT_RETURN_IF_ERROR(
      ReadRopeFrequencies(settings, sizes, config["rope_theta"].get<double>(), config));
  if (!settings.Has("attention.sliding_window")) return {};
  // Mistral is stored as llama; with a window it must be called by its name again.
  UNSWIFT_ASSIGN_OR_RETURN(const int64_t window,
                           settings.GetOr<int64_t>("attention.sliding_window", 0));
  if (window <= 0) return {};
  config["architectures"] = Json::array({"MistralForCausalLM"});
  config["model_type"] = "mistral";
  config["sliding_window"] = window;
  return {};
}

Result<> ConfigureQwen(const GgufSettings& settings, const GgufSizes&, Json& config) {
  config["use_sliding_window"] = false;
  return ConfigureRope(settings, config);
}

Result<> ConfigurePhi3(const GgufSettings& settings, const GgufSizes& sizes, Json& config) {
  UNSWIFT_ASSIGN_OR_RETURN(config["rope_theta"], RopeTheta(settings, 10000.0));
  config["partial_rotary_factor"] = PartialRotaryFactor(sizes);
  UNSWIFT_ASSIGN_OR_RETURN(const int64_t original,
                           settings.Size("rope.scaling.original_context_length", sizes.context));
  config["original_max_position_embeddings"] = original;
  UNSWIFT_ASSIGN_OR_RETURN(const int64_t window,
                           settings.GetOr<int64_t>("attention.sliding_window", 0));
  config["sliding_window"] = window > 0 ? Json(window) : Json();
  const int64_t half = std::max<int64_t>(sizes.rope_dim / 2, 1);
  UNSWIFT_ASSIGN_OR_RETURN(const std::vector<float> long_factors,
                           ReadVector(settings, "rope_factors_long.weight", half));
  UNSWIFT_ASSIGN_OR_RETURN(const std::vector<float> short_factors,
                           ReadVector(settings, "rope_factors_short.weight", half));
  if (long_factors.empty() != short_factors.empty()) {
    return settings.Fail("expected both of rope_factors_long.weight and rope_factors_short.weight");
  }
  if (!long_factors.empty()) {
    config["rope_scaling"] = {
        {"type", "longrope"}, {"long_factor", long_factors}, {"short_factor", short_factors}};
  }
  return {};
}

Result<> ConfigureGemma(const GgufSettings& settings, const GgufSizes&, Json& config) {
  config["hidden_activation"] = config["hidden_act"];
  config["tie_word_embeddings"] = true;
  return ConfigureRope(settings, config);
}

Result<> ConfigureGemma2(const GgufSettings& settings, const GgufSizes& sizes, Json& config) {
  UNSWIFT_RETURN_IF_ERROR(ConfigureGemma(settings, sizes, config));
  UNSWIFT_ASSIGN_OR_RETURN(config["attn_logit_softcapping"],
                           settings.GetOr<double>("attn_logit_softcapping", 50.0));
  UNSWIFT_ASSIGN_OR_RETURN(config["final_logit_softcapping"],
                           settings.GetOr<double>("final_logit_softcapping", 30.0));
  UNSWIFT_ASSIGN_OR_RETURN(config["sliding_window"],
                           settings.Size("attention.sliding_window", 4096));
  config["layer_types"] = LayerTypes(sizes.layers, 2);
  config["query_pre_attn_scalar"] = QueryPreAttentionScalar(sizes, 46);
  return {};
}

Result<> ConfigureGemma3(const GgufSettings& settings, const GgufSizes& sizes, Json& config) {
  config["hidden_activation"] = config["hidden_act"];
  config["tie_word_embeddings"] = true;
  UNSWIFT_ASSIGN_OR_RETURN(config["rope_theta"], RopeTheta(settings, 1e6));
  config["rope_local_base_freq"] = 10000.0;
  UNSWIFT_RETURN_IF_ERROR(ReadRopeScaling(settings, config));
  UNSWIFT_ASSIGN_OR_RETURN(config["sliding_window"],
                           settings.Size("attention.sliding_window", 1024));
  config["layer_types"] = LayerTypes(sizes.layers, 6);
  config["query_pre_attn_scalar"] = QueryPreAttentionScalar(sizes, 62);
  config["attn_logit_softcapping"] = nullptr;
  config["final_logit_softcapping"] = nullptr;
  return {};
}

Result<> ConfigureGpt2(const GgufSettings& settings, const GgufSizes& sizes, Json& config) {
  UNSWIFT_RETURN_IF_ERROR(CheckWholeHeads(settings, sizes));
  config = {{"architectures", config["architectures"]},
            {"model_type", config["model_type"]},
            {"vocab_size", sizes.vocab},
            {"n_embd", sizes.hidden},
            {"n_inner", sizes.feed_forward},
            {"n_layer", sizes.layers},
            {"n_head", sizes.heads},
            {"n_positions", sizes.context},
            {"layer_norm_epsilon", config["layer_norm_epsilon"]},
            {"activation_function", config["hidden_act"]},
            {"tie_word_embeddings", config["tie_word_embeddings"]},
            {"torch_dtype", config["torch_dtype"]}};
  return {};
}

Result<> ConfigureGptNeoX(const GgufSettings& settings, const GgufSizes& sizes, Json& config) {
  UNSWIFT_RETURN_IF_ERROR(CheckWholeHeads(settings, sizes));
  for (const char* key : {"num_key_value_heads", "head_dim", "mlp_bias"}) config.erase(key);
  config["rotary_pct"] = PartialRotaryFactor(sizes);
  UNSWIFT_ASSIGN_OR_RETURN(config["rotary_emb_base"], RopeTheta(settings, 10000.0));
  UNSWIFT_ASSIGN_OR_RETURN(config["use_parallel_residual"],
                           settings.GetOr<bool>("use_parallel_residual", true));
  return ReadRopeScaling(settings, config);
}

Result<> ConfigurePhi2(const GgufSettings& settings, const GgufSizes& sizes, Json& config) {
  config["partial_rotary_factor"] = PartialRotaryFactor(sizes);
  config["qk_layernorm"] = false;
  return ConfigureRope(settings, config);
}

}  // namespace unswift
