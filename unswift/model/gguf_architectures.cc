#include "unswift/model/gguf_architectures.h"

#include <vector>

#include "unswift/base/registry.h"
#include "unswift/model/gguf_config.h"

namespace unswift {
namespace {

constexpr int64_t kMaxSize = int64_t{1} << 30;  // of one dimension; products of two stay in int64

using enum GgufExtent;
using enum GgufChange;
using enum GgufGroup;
using Row = GgufTensorRow;

constexpr Row kModelRows[] = {
    {"token_embd.weight", "model.embed_tokens.weight", kVocab, kHidden},
    {"output_norm.weight", "model.norm.weight", kHidden},
    {"output.weight", "lm_head.weight", kVocab, kHidden, kSame, kHead},
};

constexpr Row kLlamaRows[] = {
    {"attn_norm.weight", "input_layernorm.weight", kHidden},
    {"attn_q.weight", "self_attn.q_proj.weight", kQuery, kHidden, kInterleavedHeads},
    {"attn_k.weight", "self_attn.k_proj.weight", kKeyValue, kHidden, kInterleavedHeads},
    {"attn_v.weight", "self_attn.v_proj.weight", kKeyValue, kHidden},
    {"attn_output.weight", "self_attn.o_proj.weight", kHidden, kQuery},
    {"attn_q.bias", "self_attn.q_proj.bias", kQuery, kOne, kInterleavedHeads, kAttentionBias},
    {"attn_k.bias", "self_attn.k_proj.bias", kKeyValue, kOne, kInterleavedHeads, kAttentionBias},
    {"attn_v.bias", "self_attn.v_proj.bias", kKeyValue, kOne, kSame, kAttentionBias},
    {"attn_output.bias", "self_attn.o_proj.bias", kHidden, kOne, kSame, kAttentionBias},
    {"ffn_norm.weight", "post_attention_layernorm.weight", kHidden},
    {"ffn_gate.weight", "mlp.gate_proj.weight", kFeedForward, kHidden},
    {"ffn_up.weight", "mlp.up_proj.weight", kFeedForward, kHidden},
    {"ffn_down.weight", "mlp.down_proj.weight", kHidden, kFeedForward},
    {"ffn_gate.bias", "mlp.gate_proj.bias", kFeedForward, kOne, kSame, kMlpBias},
    {"ffn_up.bias", "mlp.up_proj.bias", kFeedForward, kOne, kSame, kMlpBias},
    {"ffn_down.bias", "mlp.down_proj.bias", kHidden, kOne, kSame, kMlpBias},
};

constexpr Row kQwen2Rows[] = {
    {"attn_norm.weight", "input_layernorm.weight", kHidden},
    {"attn_q.weight", "self_attn.q_proj.weight", kQuery, kHidden},
    {"attn_k.weight", "self_attn.k_proj.weight", kKeyValue, kHidden},
    {"attn_v.weight", "self_attn.v_proj.weight", kKeyValue, kHidden},
    {"attn_q.bias", "self_attn.q_proj.bias", kQuery},
    {"attn_k.bias", "self_attn.k_proj.bias", kKeyValue},
    {"attn_v.bias", "self_attn.v_proj.bias", kKeyValue},
    {"attn_output.weight", "self_attn.o_proj.weight", kHidden, kQuery},
    {"ffn_norm.weight", "post_attention_layernorm.weight", kHidden},
    {"ffn_gate.weight", "mlp.gate_proj.weight", kFeedForward, kHidden},
    {"ffn_up.weight", "mlp.up_proj.weight", kFeedForward, kHidden},
    {"ffn_down.weight", "mlp.down_proj.weight", kHidden, kFeedForward},
};

constexpr Row kQwen3Rows[] = {
    {"attn_norm.weight", "input_layernorm.weight", kHidden},
    {"attn_q.weight", "self_attn.q_proj.weight", kQuery, kHidden},
    {"attn_k.weight", "self_attn.k_proj.weight", kKeyValue, kHidden},
    {"attn_v.weight", "self_attn.v_proj.weight", kKeyValue, kHidden},
    {"attn_q_norm.weight", "self_attn.q_norm.weight", kHeadDim},
    {"attn_k_norm.weight", "self_attn.k_norm.weight", kHeadDim},
    {"attn_output.weight", "self_attn.o_proj.weight", kHidden, kQuery},
    {"ffn_norm.weight", "post_attention_layernorm.weight", kHidden},
    {"ffn_gate.weight", "mlp.gate_proj.weight", kFeedForward, kHidden},
    {"ffn_up.weight", "mlp.up_proj.weight", kFeedForward, kHidden},
    {"ffn_down.weight", "mlp.down_proj.weight", kHidden, kFeedForward},
};

constexpr Row kPhi3Rows[] = {
    {"attn_norm.weight", "input_layernorm.weight", kHidden},
    {"attn_qkv.weight", "self_attn.qkv_proj.weight", kQkv, kHidden},
    {"attn_output.weight", "self_attn.o_proj.weight", kHidden, kQuery},
    {"ffn_norm.weight", "post_attention_layernorm.weight", kHidden},
    {"ffn_up.weight", "mlp.gate_up_proj.weight", kGateAndUp, kHidden},
    {"ffn_down.weight", "mlp.down_proj.weight", kHidden, kFeedForward},
};

constexpr Row kGemmaModelRows[] = {
    {"token_embd.weight", "model.embed_tokens.weight", kVocab, kHidden},
    {"output_norm.weight", "model.norm.weight", kHidden, kOne, kPlusOne},
};

constexpr Row kGemmaRows[] = {
    {"attn_norm.weight", "input_layernorm.weight", kHidden, kOne, kPlusOne},
    {"attn_q.weight", "self_attn.q_proj.weight", kQuery, kHidden},
    {"attn_k.weight", "self_attn.k_proj.weight", kKeyValue, kHidden},
    {"attn_v.weight", "self_attn.v_proj.weight", kKeyValue, kHidden},
    {"attn_output.weight", "self_attn.o_proj.weight", kHidden, kQuery},
    {"ffn_norm.weight", "post_attention_layernorm.weight", kHidden, kOne, kPlusOne},
    {"ffn_gate.weight", "mlp.gate_proj.weight", kFeedForward, kHidden},
    {"ffn_up.weight", "mlp.up_proj.weight", kFeedForward, kHidden},
    {"ffn_down.weight", "mlp.down_proj.weight", kHidden, kFeedForward},
};

constexpr Row kGemma2Rows[] = {
    {"attn_norm.weight", "input_layernorm.weight", kHidden, kOne, kPlusOne},
    {"attn_q.weight", "self_attn.q_proj.weight", kQuery, kHidden},
    {"attn_k.weight", "self_attn.k_proj.weight", kKeyValue, kHidden},
    {"attn_v.weight", "self_attn.v_proj.weight", kKeyValue, kHidden},
    {"attn_output.weight", "self_attn.o_proj.weight", kHidden, kQuery},
    {"post_attention_norm.weight", "post_attention_layernorm.weight", kHidden, kOne, kPlusOne},
    {"ffn_norm.weight", "pre_feedforward_layernorm.weight", kHidden, kOne, kPlusOne},
    {"ffn_gate.weight", "mlp.gate_proj.weight", kFeedForward, kHidden},
    {"ffn_up.weight", "mlp.up_proj.weight", kFeedForward, kHidden},
    {"ffn_down.weight", "mlp.down_proj.weight", kHidden, kFeedForward},
    {"post_ffw_norm.weight", "post_feedforward_layernorm.weight", kHidden, kOne, kPlusOne},
};

constexpr Row kGemma3Rows[] = {
    {"attn_norm.weight", "input_layernorm.weight", kHidden, kOne, kPlusOne},
    {"attn_q.weight", "self_attn.q_proj.weight", kQuery, kHidden},
    {"attn_k.weight", "self_attn.k_proj.weight", kKeyValue, kHidden},
    {"attn_v.weight", "self_attn.v_proj.weight", kKeyValue, kHidden},
    {"attn_q_norm.weight", "self_attn.q_norm.weight", kHeadDim, kOne, kPlusOne},
    {"attn_k_norm.weight", "self_attn.k_norm.weight", kHeadDim, kOne, kPlusOne},
    {"attn_output.weight", "self_attn.o_proj.weight", kHidden, kQuery},
    {"post_attention_norm.weight", "post_attention_layernorm.weight", kHidden, kOne, kPlusOne},
    {"ffn_norm.weight", "pre_feedforward_layernorm.weight", kHidden, kOne, kPlusOne},
    {"ffn_gate.weight", "mlp.gate_proj.weight", kFeedForward, kHidden},
    {"ffn_up.weight", "mlp.up_proj.weight", kFeedForward, kHidden},
    {"ffn_down.weight", "mlp.down_proj.weight", kHidden, kFeedForward},
    {"post_ffw_norm.weight", "post_feedforward_layernorm.weight", kHidden, kOne, kPlusOne},
};

constexpr Row kGpt2ModelRows[] = {
    {"token_embd.weight", "transformer.wte.weight", kVocab, kHidden},
    {"position_embd.weight", "transformer.wpe.weight", kContext, kHidden},
    {"output_norm.weight", "transformer.ln_f.weight", kHidden},
    {"output_norm.bias", "transformer.ln_f.bias", kHidden},
    {"output.weight", "lm_head.weight", kVocab, kHidden, kSame, kHead},
};

constexpr Row kGpt2Rows[] = {
    {"attn_norm.weight", "ln_1.weight", kHidden},
    {"attn_norm.bias", "ln_1.bias", kHidden},
    {"attn_qkv.weight", "attn.c_attn.weight", kHidden, kQkv, kTransposed},
    {"attn_qkv.bias", "attn.c_attn.bias", kQkv},
    {"attn_output.weight", "attn.c_proj.weight", kQuery, kHidden, kTransposed},
    {"attn_output.bias", "attn.c_proj.bias", kHidden},
    {"ffn_norm.weight", "ln_2.weight", kHidden},
    {"ffn_norm.bias", "ln_2.bias", kHidden},
    {"ffn_up.weight", "mlp.c_fc.weight", kHidden, kFeedForward, kTransposed},
    {"ffn_up.bias", "mlp.c_fc.bias", kFeedForward},
    {"ffn_down.weight", "mlp.c_proj.weight", kFeedForward, kHidden, kTransposed},
    {"ffn_down.bias", "mlp.c_proj.bias", kHidden},
};

constexpr Row kGptNeoXModelRows[] = {
    {"token_embd.weight", "gpt_neox.embed_in.weight", kVocab, kHidden},
    {"output_norm.weight", "gpt_neox.final_layer_norm.weight", kHidden},
    {"output_norm.bias", "gpt_neox.final_layer_norm.bias", kHidden},
    {"output.weight", "embed_out.weight", kVocab, kHidden, kSame, kHead},
};

constexpr Row kGptNeoXRows[] = {
    {"attn_norm.weight", "input_layernorm.weight", kHidden},
    {"attn_norm.bias", "input_layernorm.bias", kHidden},
    {"attn_qkv.weight", "attention.query_key_value.weight", kQkv, kHidden, kQkvPerHead},
    {"attn_qkv.bias", "attention.query_key_value.bias", kQkv, kOne, kQkvPerHead, kAttentionBias},
    {"attn_output.weight", "attention.dense.weight", kHidden, kQuery},
    {"attn_output.bias", "attention.dense.bias", kHidden, kOne, kSame, kAttentionBias},
    {"ffn_norm.weight", "post_attention_layernorm.weight", kHidden},
    {"ffn_norm.bias", "post_attention_layernorm.bias", kHidden},
    {"ffn_up.weight", "mlp.dense_h_to_4h.weight", kFeedForward, kHidden},
    {"ffn_up.bias", "mlp.dense_h_to_4h.bias", kFeedForward},
    {"ffn_down.weight", "mlp.dense_4h_to_h.weight", kHidden, kFeedForward},
    {"ffn_down.bias", "mlp.dense_4h_to_h.bias", kHidden},
};

constexpr Row kPhi2ModelRows[] = {
    {"token_embd.weight", "model.embed_tokens.weight", kVocab, kHidden},
    {"output_norm.weight", "model.final_layernorm.weight", kHidden},
    {"output_norm.bias", "model.final_layernorm.bias", kHidden},
    {"output.weight", "lm_head.weight", kVocab, kHidden, kSame, kHead},
    {"output.bias", "lm_head.bias", kVocab},
};

constexpr Row kPhi2Rows[] = {
    {"attn_norm.weight", "input_layernorm.weight", kHidden},
    {"attn_norm.bias", "input_layernorm.bias", kHidden},
    {"attn_q.weight", "self_attn.q_proj.weight", kQuery, kHidden, kSame, kSplitQkv},
    {"attn_k.weight", "self_attn.k_proj.weight", kKeyValue, kHidden, kSame, kSplitQkv},
    {"attn_v.weight", "self_attn.v_proj.weight", kKeyValue, kHidden, kSame, kSplitQkv},
    {"attn_q.bias", "self_attn.q_proj.bias", kQuery, kOne, kSame, kSplitQkv},
    {"attn_k.bias", "self_attn.k_proj.bias", kKeyValue, kOne, kSame, kSplitQkv},
    {"attn_v.bias", "self_attn.v_proj.bias", kKeyValue, kOne, kSame, kSplitQkv},
    {"attn_qkv.weight", "self_attn.q_proj.weight", kQuery, kHidden, kQueryRows, kFusedQkv},
    {"attn_qkv.weight", "self_attn.k_proj.weight", kKeyValue, kHidden, kKeyRows, kFusedQkv},
    {"attn_qkv.weight", "self_attn.v_proj.weight", kKeyValue, kHidden, kValueRows, kFusedQkv},
    {"attn_qkv.bias", "self_attn.q_proj.bias", kQuery, kOne, kQueryRows, kFusedQkv},
    {"attn_qkv.bias", "self_attn.k_proj.bias", kKeyValue, kOne, kKeyRows, kFusedQkv},
    {"attn_qkv.bias", "self_attn.v_proj.bias", kKeyValue, kOne, kValueRows, kFusedQkv},
    {"attn_output.weight", "self_attn.dense.weight", kHidden, kQuery},
    {"attn_output.bias", "self_attn.dense.bias", kHidden},
    {"ffn_up.weight", "mlp.fc1.weight", kFeedForward, kHidden},
    {"ffn_up.bias", "mlp.fc1.bias", kFeedForward},
    {"ffn_down.weight", "mlp.fc2.weight", kHidden, kFeedForward},
    {"ffn_down.bias", "mlp.fc2.bias", kHidden},
};

constexpr std::string_view kLayers = "model.layers.";
constexpr std::string_view kRmsEps = "attention.layer_norm_rms_epsilon";
constexpr std::string_view kLayerEps = "attention.layer_norm_epsilon";
constexpr std::string_view kTanh = "gelu_pytorch_tanh";

constexpr GgufArchitecture kArchitectures[] = {
    {"llama", "LlamaForCausalLM", "llama", "silu", kLayers, kRmsEps, kModelRows, kLlamaRows,
     ConfigureLlama},
    {"qwen2", "Qwen2ForCausalLM", "qwen2", "silu", kLayers, kRmsEps, kModelRows, kQwen2Rows,
     ConfigureQwen},
    {"qwen3", "Qwen3ForCausalLM", "qwen3", "silu", kLayers, kRmsEps, kModelRows, kQwen3Rows,
     ConfigureQwen},
    {"phi3", "Phi3ForCausalLM", "phi3", "silu", kLayers, kRmsEps, kModelRows, kPhi3Rows,
     ConfigurePhi3, true},
    {"gemma", "GemmaForCausalLM", "gemma", kTanh, kLayers, kRmsEps, kGemmaModelRows, kGemmaRows,
     ConfigureGemma},
    {"gemma2", "Gemma2ForCausalLM", "gemma2", kTanh, kLayers, kRmsEps, kGemmaModelRows, kGemma2Rows,
     ConfigureGemma2},
    {"gemma3", "Gemma3ForCausalLM", "gemma3_text", kTanh, kLayers, kRmsEps, kGemmaModelRows,
     kGemma3Rows, ConfigureGemma3},
    {"gpt2", "GPT2LMHeadModel", "gpt2", "gelu_new", "transformer.h.", kLayerEps, kGpt2ModelRows,
     kGpt2Rows, ConfigureGpt2},
    {"phi2", "PhiForCausalLM", "phi", "gelu_new", kLayers, kLayerEps, kPhi2ModelRows, kPhi2Rows,
     ConfigurePhi2, true},
    {"gptneox", "GPTNeoXForCausalLM", "gpt_neox", "gelu", "gpt_neox.layers.", kLayerEps,
     kGptNeoXModelRows, kGptNeoXRows, ConfigureGptNeoX, true},
};

}  // namespace

int64_t GgufSizes::Of(GgufExtent extent) const {
  switch (extent) {
    case GgufExtent::kVocab:
      return vocab;
    case GgufExtent::kHidden:
      return hidden;
    case GgufExtent::kFeedForward:
      return feed_forward;
    case GgufExtent::kGateAndUp:
      return 2 * feed_forward;
    case GgufExtent::kQuery:
      return heads * head_dim;
    case GgufExtent::kKeyValue:
      return kv_heads * head_dim;
    case GgufExtent::kQkv:
      return (heads + 2 * kv_heads) * head_dim;
    case GgufExtent::kHeadDim:
      return head_dim;
    case GgufExtent::kContext:
      return context;
    case GgufExtent::kOne:
      break;
  }
  return 1;
}

Result<int64_t> GgufSettings::Size(std::string_view name, std::optional<int64_t> fallback) const {
  const std::string key = Key(name);
  if (fallback && !file_.Has(key)) return *fallback;
  UNSWIFT_ASSIGN_OR_RETURN(const int64_t size, file_.Get<int64_t>(key));
  if (size > 0 && size <= kMaxSize) return size;
  return Fail(fmt::format("'{}': expected 1 to {}, got {}", key, kMaxSize, size));
}

Result<const GgufArchitecture*> FindGgufArchitecture(std::string_view gguf_name) {
  std::vector<std::string> names;
  for (const GgufArchitecture& architecture : kArchitectures) {
    if (architecture.gguf_name == gguf_name) return &architecture;
    names.emplace_back(architecture.gguf_name);
  }
  return tl::unexpected<Error>(UnknownName("GGUF architecture", gguf_name, names));
}

bool IsGgufSettingTensor(std::string_view name) {
  return name == "rope_freqs.weight" || name == "rope_factors_long.weight" ||
         name == "rope_factors_short.weight";
}

}  // namespace unswift
