// The architectures that the decoder can run, each a row of choices over the same parts.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "unswift/base/result.h"

namespace unswift {

enum class NormKind { kRms, kLayer };
enum class PositionKind { kRope, kLearned };
enum class MlpKind { kGated, kPlain };
/// Whether the MLP reads what attention has added (sequential), or both read the block's input
/// (parallel).
enum class BlockKind { kSequential, kParallel };
/// How the rows of one matrix for q, k and v lie.
enum class QkvLayout {
  kBlocks,   ///< all of q, all of k, all of v
  kPerHead,  ///< head by head, each its q, k and v (needs as many key/value heads)
};
/// Which layers see only a window, where the config does not list `layer_types`.
enum class WindowLayers {
  kNone,
  kAll,             ///< all, when `sliding_window` is given
  kFromMaxWindow,   ///< from `max_window_layers` on, when `use_sliding_window` is set
  kAllButEveryNth,  ///< all but the last of every `sliding_window_pattern`
};

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
  std::string_view hidden_act_first = {};  ///< read before hidden_act, where not null (Gemma)
  std::string_view attention_bias = {};    ///< flag; without it the architecture's row decides
  std::string_view mlp_bias = {};
  std::string_view qk_norm = {};            ///< flag; without it the weight names decide
  std::string_view parallel_residual = {};  ///< flag; without it the architecture's row decides
  std::string_view query_scalar = {};       ///< scores are scaled by its -1/2 power, not head_dim's
  std::string_view scaled_scores = {};      ///< flag; false: scores are not scaled by it
  std::string_view scores_by_layer = {};  ///< flag; scores are divided by the layer's number from 1
  std::string_view rope_theta = "rope_theta";
  std::string_view local_rope_theta = {};  ///< base of windowed layers (older Gemma 3 files)
  std::string_view partial_rotary_factor = "partial_rotary_factor";
};

/// Tensor names without ".weight" / ".bias". Names of a layer follow the layer prefix "LAYERS.N.".
/// An empty name means that the architecture has no such tensor.
struct WeightNames {
  std::string_view embed_tokens = {};
  std::string_view embed_positions = {};
  std::string_view layers = {};
  std::string_view input_norm = {};
  std::string_view qkv_proj = {};  ///< one matrix for q, k and v; then the next three are empty
  std::string_view q_proj = {}, k_proj = {}, v_proj = {};
  std::string_view q_norm = {}, k_norm = {};  ///< of each head, before the rotation
  std::string_view o_proj = {};
  std::string_view attention_output_norm = {};  ///< of what attention adds (Gemma 2 and 3)
  std::string_view post_attention_norm = {};  ///< of the MLP's input; empty: it reads input_norm's
  std::string_view gate_up_proj = {};  ///< gate and up in one matrix; then the next two are empty
  std::string_view gate_proj = {};     ///< gated MLP only
  std::string_view up_proj = {};       ///< the plain MLP's fc1
  std::string_view down_proj = {};     ///< the plain MLP's fc2
  std::string_view mlp_output_norm = {};  ///< of what the MLP adds (Gemma 2 and 3)
  std::string_view series = {};           ///< prefix of a release's tensors of this MLP
  std::string_view final_norm = {};
  std::string_view lm_head = {};
};

/// A switch of config.json of which only one setting is implemented (and is the default).
struct FixedFlag {
  std::string_view key = {};
  bool value = false;
};

struct Architecture {
  std::string_view name = {};        ///< as in config.json "architectures"
  std::string_view model_type = {};  ///< as in config.json
  NormKind norm = NormKind::kRms;
  bool norm_one_plus = false;  ///< norms multiply by 1 + weight
  PositionKind position = PositionKind::kRope;
  MlpKind mlp = MlpKind::kGated;
  BlockKind block = BlockKind::kSequential;
  QkvLayout qkv_layout = QkvLayout::kBlocks;
  WindowLayers window = WindowLayers::kNone;
  bool scale_embedding = false;  ///< token embeddings are multiplied by sqrt(hidden_size)
  bool qkv_bias = false;         ///< unless the config's flag says otherwise, as the next two
  bool o_bias = false;
  bool mlp_bias = false;
  bool lm_head_bias = false;
  bool conv1d = false;  ///< layer weights are stored [in, out] (GPT-2's Conv1D)
  ConfigKeys keys = {};
  /// JSON: what a key means that config.json lacks, as in transformers' configuration class. A key
  /// that is null has a value. The sizes that every file has are not among them.
  std::string_view defaults = "{}";
  WeightNames names = {};
  std::span<const FixedFlag> fixed_flags = {};
  /// The same with the other tensor names that checkpoints of this architecture have.
  const Architecture* renamed = nullptr;
};

/// Errors: kUnsupported naming the nearest and all supported model types.
Result<const Architecture*> FindArchitecture(std::string_view model_type);
std::vector<std::string> SupportedModelTypes();

}  // namespace unswift
