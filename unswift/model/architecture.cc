#include "unswift/model/architecture.h"

#include "unswift/base/registry.h"

namespace unswift {
namespace {

// Most families keep Llama's names; each row below says what differs.
constexpr WeightNames kLlamaNames = {.embed_tokens = "model.embed_tokens",
                                     .layers = "model.layers",
                                     .input_norm = "input_layernorm",
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
                                     .lm_head = "lm_head"};

constexpr Architecture kLlama = {
    .name = "LlamaForCausalLM",
    .model_type = "llama",
    .keys = {.attention_bias = "attention_bias", .mlp_bias = "mlp_bias"},
    .defaults = R"({"num_attention_heads": 32, "hidden_act": "silu", "rms_norm_eps": 1e-6,
                    "max_position_embeddings": 2048})",
    .names = kLlamaNames};

constexpr Architecture kMistral = {.name = "MistralForCausalLM",
                                   .model_type = "mistral",
                                   .window = WindowLayers::kAll,
                                   .defaults = R"({"num_attention_heads": 32,
                                                   "num_key_value_heads": 8, "hidden_act": "silu",
                                                   "rms_norm_eps": 1e-6, "sliding_window": 4096,
                                                   "max_position_embeddings": 131072})",
                                   .names = kLlamaNames};

constexpr std::string_view kQwen2Defaults =
    R"({"num_attention_heads": 32, "num_key_value_heads": 32, "hidden_act": "silu",
        "rms_norm_eps": 1e-6, "sliding_window": 4096, "max_window_layers": 28,
        "max_position_embeddings": 32768})";

constexpr Architecture kQwen2 = {.name = "Qwen2ForCausalLM",
                                 .model_type = "qwen2",
                                 .window = WindowLayers::kFromMaxWindow,
                                 .qkv_bias = true,
                                 .defaults = kQwen2Defaults,
                                 .names = kLlamaNames};

constexpr WeightNames WithHeadNorms(WeightNames names) {
  names.q_norm = "self_attn.q_norm";
  names.k_norm = "self_attn.k_norm";
  return names;
}

constexpr Architecture kQwen3 = {.name = "Qwen3ForCausalLM",
                                 .model_type = "qwen3",
                                 .window = WindowLayers::kFromMaxWindow,
                                 .keys = {.attention_bias = "attention_bias"},
                                 .defaults =
                                     R"({"num_attention_heads": 32, "num_key_value_heads": 32,
                                         "head_dim": 128, "hidden_act": "silu",
                                         "rms_norm_eps": 1e-6, "sliding_window": 4096,
                                         "max_window_layers": 28,
                                         "max_position_embeddings": 32768})",
                                 .names = WithHeadNorms(kLlamaNames)};

constexpr WeightNames Phi3Names() {
  WeightNames names = kLlamaNames;
  names.q_proj = names.k_proj = names.v_proj = "";
  names.gate_proj = names.up_proj = "";
  names.qkv_proj = "self_attn.qkv_proj";
  names.gate_up_proj = "mlp.gate_up_proj";
  return names;
}

constexpr Architecture kPhi3 = {.name = "Phi3ForCausalLM",
                                .model_type = "phi3",
                                .window = WindowLayers::kAll,
                                .defaults = R"({"num_attention_heads": 32, "hidden_act": "silu",
                                                "rms_norm_eps": 1e-5,
                                                "max_position_embeddings": 4096})",
                                .names = Phi3Names()};

constexpr FixedFlag kGemmaFlags[] = {{"use_bidirectional_attention", false}};

constexpr std::string_view kGemmaDefaults =
    R"({"num_attention_heads": 16, "num_key_value_heads": 16, "head_dim": 256,
        "hidden_act": "gelu_pytorch_tanh", "rms_norm_eps": 1e-6, "tie_word_embeddings": true,
        "max_position_embeddings": 8192})";

constexpr Architecture kGemma = {
    .name = "GemmaForCausalLM",
    .model_type = "gemma",
    .norm_one_plus = true,
    .scale_embedding = true,
    .keys = {.hidden_act_first = "hidden_activation", .attention_bias = "attention_bias"},
    .defaults = kGemmaDefaults,
    .names = kLlamaNames,
    .fixed_flags = kGemmaFlags};

constexpr WeightNames WithOutputNorms(WeightNames names) {
  names.attention_output_norm = "post_attention_layernorm";
  names.post_attention_norm = "pre_feedforward_layernorm";
  names.mlp_output_norm = "post_feedforward_layernorm";
  return names;
}

constexpr Architecture kGemma2 = {.name = "Gemma2ForCausalLM",
                                  .model_type = "gemma2",
                                  .norm_one_plus = true,
                                  .window = WindowLayers::kAllButEveryNth,
                                  .scale_embedding = true,
                                  .keys = {.hidden_act_first = "hidden_activation",
                                           .attention_bias = "attention_bias",
                                           .query_scalar = "query_pre_attn_scalar"},
                                  .defaults =
                                      R"({"num_attention_heads": 8, "num_key_value_heads": 4,
                                          "head_dim": 256, "query_pre_attn_scalar": 256,
                                          "hidden_activation": "gelu_pytorch_tanh",
                                          "rms_norm_eps": 1e-6, "tie_word_embeddings": true,
                                          "attn_logit_softcapping": 50.0,
                                          "final_logit_softcapping": 30.0,
                                          "sliding_window": 4096, "sliding_window_pattern": 2,
                                          "max_position_embeddings": 8192})",
                                  .names = WithOutputNorms(kLlamaNames),
                                  .fixed_flags = kGemmaFlags};

constexpr Architecture kGemma3 = {.name = "Gemma3ForCausalLM",
                                  .model_type = "gemma3_text",
                                  .norm_one_plus = true,
                                  .window = WindowLayers::kAllButEveryNth,
                                  .scale_embedding = true,
                                  .keys = {.hidden_act_first = "hidden_activation",
                                           .attention_bias = "attention_bias",
                                           .query_scalar = "query_pre_attn_scalar",
                                           .local_rope_theta = "rope_local_base_freq"},
                                  .defaults =
                                      R"({"vocab_size": 262208, "num_attention_heads": 8,
                                          "num_key_value_heads": 4, "head_dim": 256,
                                          "query_pre_attn_scalar": 256,
                                          "hidden_activation": "gelu_pytorch_tanh",
                                          "rms_norm_eps": 1e-6, "tie_word_embeddings": true,
                                          "sliding_window": 4096, "sliding_window_pattern": 6,
                                          "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0,
                                          "max_position_embeddings": 131072})",
                                  .names = WithHeadNorms(WithOutputNorms(kLlamaNames)),
                                  .fixed_flags = kGemmaFlags};

constexpr Architecture kPhi = {.name = "PhiForCausalLM",
                               .model_type = "phi",
                               .norm = NormKind::kLayer,
                               .mlp = MlpKind::kPlain,
                               .block = BlockKind::kParallel,
                               .qkv_bias = true,
                               .o_bias = true,
                               .mlp_bias = true,
                               .lm_head_bias = true,
                               .keys = {.norm_eps = "layer_norm_eps", .qk_norm = "qk_layernorm"},
                               .defaults =
                                   R"({"num_attention_heads": 32, "hidden_act": "gelu_new",
                                       "layer_norm_eps": 1e-5, "partial_rotary_factor": 0.5,
                                       "max_position_embeddings": 2048})",
                               .names = {.embed_tokens = "model.embed_tokens",
                                         .layers = "model.layers",
                                         .input_norm = "input_layernorm",
                                         .q_proj = "self_attn.q_proj",
                                         .k_proj = "self_attn.k_proj",
                                         .v_proj = "self_attn.v_proj",
                                         .q_norm = "self_attn.q_layernorm",
                                         .k_norm = "self_attn.k_layernorm",
                                         .o_proj = "self_attn.dense",
                                         .up_proj = "mlp.fc1",
                                         .down_proj = "mlp.fc2",
                                         .series = "mlp.series",
                                         .final_norm = "model.final_layernorm",
                                         .lm_head = "lm_head"}};

constexpr Architecture AlsoNamedAs(Architecture row, const Architecture* renamed) {
  row.renamed = renamed;
  return row;
}

constexpr Architecture kGptNeoXRow = {
    .name = "GPTNeoXForCausalLM",
    .model_type = "gpt_neox",
    .norm = NormKind::kLayer,
    .mlp = MlpKind::kPlain,
    .block = BlockKind::kParallel,
    .qkv_layout = QkvLayout::kPerHead,
    .qkv_bias = true,
    .o_bias = true,
    .mlp_bias = true,
    .keys = {.num_key_value_heads = "",
             .norm_eps = "layer_norm_eps",
             .attention_bias = "attention_bias",
             .parallel_residual = "use_parallel_residual",
             .rope_theta = "rotary_emb_base",
             .partial_rotary_factor = "rotary_pct"},
    .defaults = R"({"num_attention_heads": 64, "hidden_act": "gelu", "layer_norm_eps": 1e-5,
                    "rotary_pct": 0.25, "max_position_embeddings": 2048})",
    .names = {.embed_tokens = "gpt_neox.embed_in",
              .layers = "gpt_neox.layers",
              .input_norm = "input_layernorm",
              .qkv_proj = "attention.query_key_value",
              .o_proj = "attention.dense",
              .post_attention_norm = "post_attention_layernorm",
              .up_proj = "mlp.dense_h_to_4h",
              .down_proj = "mlp.dense_4h_to_h",
              .series = "mlp.series",
              .final_norm = "gpt_neox.final_layer_norm",
              .lm_head = "embed_out"}};

// As transformers calls it since 5: save_pretrained keeps the name that a model was loaded with.
constexpr Architecture WithNewHeadName(Architecture row) {
  row.names.lm_head = "lm_head";
  return row;
}

constexpr Architecture kNewGptNeoX = WithNewHeadName(kGptNeoXRow);
constexpr Architecture kGptNeoX = AlsoNamedAs(kGptNeoXRow, &kNewGptNeoX);

constexpr FixedFlag kGpt2Flags[] = {{"add_cross_attention", false}};

constexpr Architecture kGpt2Row = {
    .name = "GPT2LMHeadModel",
    .model_type = "gpt2",
    .norm = NormKind::kLayer,
    .position = PositionKind::kLearned,
    .mlp = MlpKind::kPlain,
    .qkv_bias = true,
    .o_bias = true,
    .mlp_bias = true,
    .conv1d = true,
    .keys = {.hidden_size = "n_embd",
             .intermediate_size = "n_inner",
             .num_hidden_layers = "n_layer",
             .num_attention_heads = "n_head",
             .num_key_value_heads = "",
             .max_position_embeddings = "n_positions",
             .norm_eps = "layer_norm_epsilon",
             .hidden_act = "activation_function",
             .scaled_scores = "scale_attn_weights",
             .scores_by_layer = "scale_attn_by_inverse_layer_idx"},
    .defaults = R"({"n_head": 12, "n_positions": 1024, "activation_function": "gelu_new",
                    "layer_norm_epsilon": 1e-5, "tie_word_embeddings": true})",
    .names = {.embed_tokens = "transformer.wte",
              .embed_positions = "transformer.wpe",
              .layers = "transformer.h",
              .input_norm = "ln_1",
              .qkv_proj = "attn.c_attn",
              .o_proj = "attn.c_proj",
              .post_attention_norm = "ln_2",
              .up_proj = "mlp.c_fc",
              .down_proj = "mlp.c_proj",
              .series = "mlp.series",
              .final_norm = "transformer.ln_f",
              .lm_head = "lm_head"},
    .fixed_flags = kGpt2Flags};

// As the first GPT-2 checkpoints were saved.
constexpr Architecture WithoutPrefix(Architecture row) {
  row.names.embed_tokens = "wte";
  row.names.embed_positions = "wpe";
  row.names.layers = "h";
  row.names.final_norm = "ln_f";
  return row;
}

constexpr Architecture kGpt2Unprefixed = WithoutPrefix(kGpt2Row);
constexpr Architecture kGpt2 = AlsoNamedAs(kGpt2Row, &kGpt2Unprefixed);

const Registry<const Architecture*>& Architectures() {
  static const Registry<const Architecture*> rows("architecture with model_type",
                                                  {{kLlama.model_type.data(), &kLlama},
                                                   {kMistral.model_type.data(), &kMistral},
                                                   {kQwen2.model_type.data(), &kQwen2},
                                                   {kQwen3.model_type.data(), &kQwen3},
                                                   {kPhi.model_type.data(), &kPhi},
                                                   {kPhi3.model_type.data(), &kPhi3},
                                                   {kGemma.model_type.data(), &kGemma},
                                                   {kGemma2.model_type.data(), &kGemma2},
                                                   {kGemma3.model_type.data(), &kGemma3},
                                                   {kGptNeoX.model_type.data(), &kGptNeoX},
                                                   {kGpt2.model_type.data(), &kGpt2}});
  return rows;
}

}  // namespace

Result<const Architecture*> FindArchitecture(std::string_view model_type) {
  return Architectures().Find(model_type);
}

std::vector<std::string> SupportedModelTypes() { return Architectures().Names(); }

}  // namespace unswift
