// config.json of a Hugging Face model directory.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "unswift/base/file_set.h"
#include "unswift/base/result.h"
#include "unswift/io/json_fwd.h"
#include "unswift/model/architecture.h"
#include "unswift/model/rope_config.h"
#include "unswift/ops/activation.h"

namespace unswift {

/// What the layers of one model may differ in.
struct LayerConfig {
  int64_t window = 0;            ///< newest positions that a token sees, itself included; 0: all
  int32_t rope = 0;              ///< index into ModelConfig::ropes
  double attention_scale = 0.0;  ///< of q k^T
};

struct ModelConfig {
  const Architecture* architecture = nullptr;
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t num_attention_heads = 0;
  int64_t num_key_value_heads = 0;
  int64_t head_dim = 0;
  int64_t max_position_embeddings = 0;
  int64_t context_length =
      0;  ///< tokens a sequence may have: more, where rope scaling stretches it
  double norm_eps = 0.0;
  std::vector<RopeConfig> ropes;    ///< PositionKind::kRope: one, or full and windowed layers' own
  std::vector<LayerConfig> layers;  ///< [num_hidden_layers]
  double attention_softcap = 0.0;   ///< c tanh(x / c) of the scaled scores; 0: none
  double final_softcap = 0.0;       ///< ... of the logits
  Activation hidden_act = Activation::kSilu;
  BlockKind block = BlockKind::kSequential;
  bool qkv_bias = false;
  bool o_bias = false;
  bool mlp_bias = false;
  bool qk_norm = false;
  bool tie_word_embeddings = false;
  std::vector<int32_t> bos_token_ids;  ///< empty when the model has none
  std::vector<int32_t> eos_token_ids;  ///< generation_config.json wins over config.json
  std::shared_ptr<const Json> json;    ///< the whole config.json

  int64_t q_size() const { return num_attention_heads * head_dim; }
  int64_t kv_size() const { return num_key_value_heads * head_dim; }
};

/// Reads config.json (and generation_config.json when present).
/// Errors: kNotFound, kInvalidData (a missing key, a size that cannot be), kUnsupported
/// (architecture, activation, rope scaling, a switch or layer type) naming what is supported.
Result<ModelConfig> ReadModelConfig(const FileSet& model);

/// Parses a config.json value; `what` opens the messages.
Result<ModelConfig> ParseModelConfig(const Json& json, const std::string& what);

/// "silu", "gelu", ... Errors: kUnsupported naming what is supported.
Result<Activation> ParseActivation(std::string_view hidden_act);

/// The model_type and architectures that config.json keeps for a release (see
/// docs/release_format.md).
inline constexpr std::string_view kReleaseModelType = "unswift";

}  // namespace unswift
