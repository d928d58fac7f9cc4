// A model bound to its stored weights: views of the mapped checkpoint, no copies.
//
// Exceptions: norms and biases are widened to float32 (they are tiny), matrices stored [in, out]
// (GPT-2's Conv1D) are transposed once, and whoever decodes may have the matrices put into memory,
// as they are or in another type.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "unswift/base/result.h"
#include "unswift/io/safetensors.h"
#include "unswift/model/model_config.h"
#include "unswift/ops/aligned_buffer.h"
#include "unswift/ops/pack.h"
#include "unswift/ops/series_mlp.h"
#include "unswift/tensor/tensor_view.h"

namespace unswift {

struct LinearWeights {
  MatrixView weight;        ///< [out, in]
  std::vector<float> bias;  ///< [out], or empty
  const float* bias_or_null() const { return bias.empty() ? nullptr : bias.data(); }
};

/// Empty: the architecture has no such norm.
struct NormWeights {
  std::vector<float> weight;  ///< [hidden_size], or [head_dim]; the 1 of "1 + weight" is added
  std::vector<float> bias;    ///< as weight; empty for RMSNorm
  explicit operator bool() const { return !weight.empty(); }
};

struct AttentionWeights {
  /// QkvLayout::kPerHead only, and then instead of q_proj, k_proj and v_proj: rows of head 0's q,
  /// k, v, of head 1's, ... [3 * num_attention_heads * head_dim, hidden_size]
  LinearWeights qkv_proj;
  LinearWeights q_proj;        ///< [num_attention_heads * head_dim, hidden_size]
  LinearWeights k_proj;        ///< [num_key_value_heads * head_dim, hidden_size]
  LinearWeights v_proj;        ///< as k_proj
  LinearWeights o_proj;        ///< [hidden_size, num_attention_heads * head_dim]
  NormWeights q_norm, k_norm;  ///< [head_dim], of every head before the rotation; may be empty
};

/// How one layer's MLP is protected; the numbers themselves are tensors of the checkpoint.
struct SeriesLayer {
  int64_t layer = 0;
  SeriesBasis basis = SeriesBasis::kChebyshev;
  SeriesGuard guard = SeriesGuard::kLinear;
  double cutoff = 0.0;       ///< SeriesGuard::kTruncate only
  int32_t cutoff_order = 0;  ///< SeriesGuard::kTruncate only
  int64_t protected_units = 0;
  int64_t features = 0;  ///< columns of theta
};

/// A protected MLP's own weights. The first protected_units intermediate coordinates are protected
/// (sorted by order, descending), the rest are plain.
struct SeriesWeights {
  SeriesBasis basis = SeriesBasis::kChebyshev;
  SeriesGuard guard = SeriesGuard::kLinear;
  float cutoff = 0.0f;
  int32_t cutoff_order = 0;
  int32_t first_order = 0;
  std::vector<float> centre, inv_radius;  ///< [protected_units]
  std::vector<int64_t> units_of_order;    ///< see SeriesUnits
  std::vector<uint8_t> orders;            ///< [protected_units]
  MatrixView theta;                       ///< [hidden_size, features]
  std::vector<float>
      bias;  ///< [hidden_size]: order 0 of a plain MLP, the output bias; may be empty

  int64_t protected_units() const { return static_cast<int64_t>(centre.size()); }
  /// The view that the kernels take; lives as long as this object.
  SeriesUnits units() const;
};

struct MlpWeights {
  LinearWeights gate_proj;  ///< [intermediate_size, hidden_size]; gated MLP only
  LinearWeights up_proj;    ///< [intermediate_size, hidden_size]; the plain MLP's fc1
  LinearWeights down_proj;  ///< [hidden_size, plain units]; no rows when all units are protected
  std::optional<SeriesWeights> series;
};

struct LayerWeights {
  NormWeights input_norm;
  AttentionWeights attention;
  NormWeights attention_output_norm;  ///< of what attention adds; may be empty
  NormWeights post_attention_norm;    ///< of the MLP's input; empty: the MLP reads input_norm's
  MlpWeights mlp;
  NormWeights mlp_output_norm;  ///< of what the MLP adds; may be empty
};

/// What Bind does with matrices that are stored [in, out] (architectures with conv1d).
enum class Conv1dWeights {
  kTranspose,  ///< to [out, in], in private memory: what the decoder needs
  kKeep,       ///< views as stored, [in, out]: for readers that take one layer at a time
};

/// Immutable after Bind; may be shared by threads.
class Model {
 public:
  /// Binds every tensor that the architecture names, checking dtype and shape against the config.
  /// series: one entry per protected layer, ascending. Errors: kNotFound, kInvalidData.
  static Result<Model> Bind(ModelConfig config, Checkpoint checkpoint,
                            const std::vector<SeriesLayer>& series = {},
                            Conv1dWeights conv1d = Conv1dWeights::kTranspose);

  const ModelConfig& config() const { return config_; }
  const Checkpoint& checkpoint() const { return *checkpoint_; }
  const MatrixView& embed_tokens() const { return embed_tokens_; }        ///< [vocab, hidden]
  const MatrixView& embed_positions() const { return embed_positions_; }  ///< [positions, hidden]
  const std::vector<LayerWeights>& layers() const { return layers_; }
  const NormWeights& final_norm() const { return final_norm_; }
  const MatrixView& lm_head() const { return lm_head_; }  ///< [vocab, hidden]; may be embed_tokens
  const std::vector<float>& lm_head_bias() const { return lm_head_bias_; }  ///< [vocab], or empty

  /// Copies the matrices that every token reads (the layers', theta, the head) to private memory,
  /// side by side on huge pages. From there decoding is 4 to 10 % faster than from a mapped file,
  /// whose small pages have to be looked up; the copy takes 0.05 s a gigabyte, much more where the
  /// system must make room for it. Not an embedding that is no head: one row per token is read.
  /// Does nothing when they are there.
  void CopyWeights(ThreadPool& pool);
  bool has_private_weights() const { return is_placed_; }
  /// The same with all but theta (its rounding is part of its series) stored as f32, f16, bf16,
  /// q8_0 or q4_0.
  ConversionLoss ConvertWeights(DType dtype, ThreadPool& pool);

  bool is_release() const { return num_protected_layers_ > 0; }
  /// Whether a matrix of the checkpoint is stored quantised; theta does not count.
  bool has_quantized_weights() const;
  /// Values of all tensors (a tied head counts once).
  int64_t num_parameters() const;
  /// Bytes of weights that decoding one token reads: every matrix once, of the embedding one row.
  /// Tensors that nothing names (masks that old checkpoints carry) do not count.
  int64_t weight_bytes_per_token() const;

 private:
  friend class WeightBinder;
  Model() = default;
  ConversionLoss Place(std::optional<DType> dtype, ThreadPool& pool);
  ModelConfig config_;
  std::unique_ptr<Checkpoint> checkpoint_;
  std::vector<AlignedBuffer> owned_;  // transposed, copied and converted matrices
  bool is_placed_ = false;            // in owned_, by Place
  MatrixView embed_tokens_, embed_positions_, lm_head_;
  std::vector<LayerWeights> layers_;
  NormWeights final_norm_;
  std::vector<float> lm_head_bias_;
  int64_t num_protected_layers_ = 0;
  int64_t bound_bytes_ = 0;  // of the tensors that the architecture names
  // What the checkpoint's tensors do not say: values of packed matrices, bytes of converted ones.
  int64_t extra_parameters_ = 0, extra_bytes_ = 0;
};

/// "model.layers.3." for layer 3 of Llama.
std::string LayerPrefix(const Architecture& architecture, int64_t layer);

}  // namespace unswift
