#include "unswift/model/architecture.h"

#include "unswift/base/registry.h"

namespace unswift {
namespace {

constexpr Architecture kLlama = {.name = "LlamaForCausalLM",
                                 .model_type = "llama",
                                 .norm = NormKind::kRms,
                                 .position = PositionKind::kRope,
                                 .mlp = MlpKind::kGated,
                                 .linear_bias = false,
                                 .conv1d = false,
                                 .keys = {},
                                 .names = {.embed_tokens = "model.embed_tokens",
                                           .embed_positions = "",
                                           .layers = "model.layers",
                                           .input_norm = "input_layernorm",
                                           .qkv_proj = "",
                                           .q_proj = "self_attn.q_proj",
                                           .k_proj = "self_attn.k_proj",
                                           .v_proj = "self_attn.v_proj",
                                           .o_proj = "self_attn.o_proj",
                                           .post_attention_norm = "post_attention_layernorm",
                                           .gate_proj = "mlp.gate_proj",
                                           .up_proj = "mlp.up_proj",
                                           .down_proj = "mlp.down_proj",
                                           .series = "mlp.series",
                                           .final_norm = "model.norm",
                                           .lm_head = "lm_head"}};

constexpr Architecture kGpt2 = {.name = "GPT2LMHeadModel",
                                .model_type = "gpt2",
                                .norm = NormKind::kLayer,
                                .position = PositionKind::kLearned,
                                .mlp = MlpKind::kPlain,
                                .linear_bias = true,
                                .conv1d = true,
                                .keys = {.hidden_size = "n_embd",
                                         .intermediate_size = "n_inner",
                                         .num_hidden_layers = "n_layer",
                                         .num_attention_heads = "n_head",
                                         .num_key_value_heads = "",
                                         .max_position_embeddings = "n_positions",
                                         .norm_eps = "layer_norm_epsilon",
                                         .hidden_act = "activation_function",
                                         .attention_bias = "",
                                         .mlp_bias = "",
                                         .tie_word_embeddings_default = true},
                                .names = {.embed_tokens = "transformer.wte",
                                          .embed_positions = "transformer.wpe",
                                          .layers = "transformer.h",
                                          .input_norm = "ln_1",
                                          .qkv_proj = "attn.c_attn",
                                          .q_proj = "",
                                          .k_proj = "",
                                          .v_proj = "",
                                          .o_proj = "attn.c_proj",
                                          .post_attention_norm = "ln_2",
                                          .gate_proj = "",
                                          .up_proj = "mlp.c_fc",
                                          .down_proj = "mlp.c_proj",
                                          .series = "mlp.series",
                                          .final_norm = "transformer.ln_f",
                                          .lm_head = "lm_head"}};

const Registry<const Architecture*>& Architectures() {
  static const Registry<const Architecture*> rows("architecture with model_type",
                                                  {{"llama", &kLlama}, {"gpt2", &kGpt2}});
  return rows;
}

}  // namespace

Result<const Architecture*> FindArchitecture(std::string_view model_type) {
  return Architectures().Find(model_type);
}

std::vector<std::string> SupportedModelTypes() { return Architectures().Names(); }

}  // namespace unswift
