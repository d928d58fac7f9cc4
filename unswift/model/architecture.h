// The architectures that the decoder can run, each a row of choices over the same parts.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "unswift/base/result.h"

namespace unswift {

enum class NormKind { kRms, kLayer };
enum class PositionKind { kRope, kLearned };
enum class MlpKind { kGated, kPlain };

/// Where config.json keeps the sizes. An empty key means that the architecture has none.
struct ConfigKeys {
  std::string_view hidden_size = "hidden_size";
  std::string_view intermediate_size = "intermediate_size";
  std::string_view num_hidden_layers = "num_hidden_layers";
  std::string_view num_attention_heads = "num_attention_heads";
  std::string_view num_key_value_heads = "num_key_value_heads";
  std::string_view max_position_embeddings = "max_position_embeddings";
  std::string_view norm_eps = "rms_norm_eps";
  std::string_view hidden_act = "hidden_act";
  std::string_view attention_bias = "attention_bias";
  std::string_view mlp_bias = "mlp_bias";
  bool tie_word_embeddings_default = false;
};

/// Tensor names without ".weight" / ".bias". Names of a layer follow the layer prefix "LAYERS.N.".
struct WeightNames {
  std::string_view embed_tokens;
  std::string_view embed_positions;  ///< empty: none
  std::string_view layers;
  std::string_view input_norm;
  std::string_view qkv_proj;  ///< one matrix for q, k and v; then q_proj, k_proj, v_proj are empty
  std::string_view q_proj, k_proj, v_proj;
  std::string_view o_proj;
  std::string_view post_attention_norm;
  std::string_view gate_proj;  ///< gated MLP only
  std::string_view up_proj;    ///< the plain MLP's fc1
  std::string_view down_proj;  ///< the plain MLP's fc2
  std::string_view series;     ///< prefix of a release's tensors of this MLP
  std::string_view final_norm;
  std::string_view lm_head;
};

struct Architecture {
  std::string_view name;        ///< as in config.json "architectures"
  std::string_view model_type;  ///< as in config.json
  NormKind norm;
  PositionKind position;
  MlpKind mlp;
  bool linear_bias;  ///< every linear of a layer has a bias (else the config's *_bias flags say)
  bool conv1d;       ///< layer weights are stored [in, out] (GPT-2's Conv1D)
  ConfigKeys keys;
  WeightNames names;
};

/// Errors: kUnsupported naming the nearest and all supported model types.
Result<const Architecture*> FindArchitecture(std::string_view model_type);
std::vector<std::string> SupportedModelTypes();

}  // namespace unswift
