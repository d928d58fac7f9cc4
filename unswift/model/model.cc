#include "unswift/model/model.h"

#include <algorithm>
#include <cstring>

#include "unswift/ops/convert.h"
#include "unswift/series/derivatives.h"

namespace unswift {
namespace {

auto WrongTensor(const std::string& name, std::string_view expected, const std::string& got) {
  return MakeError(ErrorCode::kInvalidData, "[bind_model] tensor '{}': expected {}, got {}", name,
                   expected, got);
}

/// Copies a stored [in, out] matrix to [out, in]. element: bytes per value.
void Transpose(const std::byte* from, int64_t in, int64_t out, int64_t element, std::byte* to) {
  for (int64_t r = 0; r < out; ++r) {
    for (int64_t c = 0; c < in; ++c) {
      std::memcpy(to + (r * in + c) * element, from + (c * out + r) * element, element);
    }
  }
}

/// A matrix that is to be stored elsewhere.
struct Placement {
  MatrixView* matrix;
  DType dtype;
  int64_t bytes() const {
    constexpr int64_t kAlignment = 128;
    return RoundUp(ConvertedBytes(*matrix, dtype), kAlignment);
  }
};

/// What a token reads, in that order, as `dtype` or as it is.
std::vector<Placement> Placements(std::vector<LayerWeights>& layers, MatrixView& lm_head,
                                  std::optional<DType> dtype) {
  std::vector<Placement> placements;
  const auto add = [&](MatrixView& matrix, std::optional<DType> as) {
    if (matrix.num_bytes() > 0) placements.push_back({&matrix, as.value_or(matrix.dtype)});
  };
  for (LayerWeights& layer : layers) {
    AttentionWeights& attention = layer.attention;
    MlpWeights& mlp = layer.mlp;
    for (LinearWeights* linear :
         {&attention.qkv_proj, &attention.q_proj, &attention.k_proj, &attention.v_proj,
          &attention.o_proj, &mlp.gate_proj, &mlp.up_proj, &mlp.down_proj}) {
      add(linear->weight, dtype);
    }
    if (mlp.series) add(mlp.series->theta, std::nullopt);
  }
  add(lm_head, dtype);
  return placements;
}

/// The architecture with the names that the checkpoint's tensors have.
const Architecture* NamedAsIn(const Checkpoint& checkpoint, const Architecture* architecture) {
  const Architecture* const renamed = architecture->renamed;
  if (renamed == nullptr) return architecture;
  const auto only_renamed = [&](std::string_view name, std::string_view other) {
    const auto has = [&](std::string_view tensor) {
      return checkpoint.Find(std::string(tensor) + ".weight") != nullptr;
    };
    return !has(name) && has(other);
  };
  const WeightNames &names = architecture->names, &others = renamed->names;
  return only_renamed(names.embed_tokens, others.embed_tokens) ||
                 only_renamed(names.lm_head, others.lm_head)
             ? renamed
             : architecture;
}

}  // namespace

std::string LayerPrefix(const Architecture& architecture, int64_t layer) {
  return fmt::format("{}.{}.", architecture.names.layers, layer);
}

SeriesUnits SeriesWeights::units() const {
  SeriesUnits units;
  units.basis = basis;
  units.guard = guard;
  units.cutoff = cutoff;
  units.cutoff_order = cutoff_order;
  units.first_order = first_order;
  units.centre = centre;
  units.inv_radius = inv_radius;
  units.units_of_order = units_of_order;
  return units;
}

/// Finds, checks and converts the tensors of one checkpoint.
class WeightBinder {
 public:
  WeightBinder(Model& model, Conv1dWeights conv1d)
      : model_(model),
        conv1d_(conv1d),
        config_(model.config_),
        names_(model.config_.architecture->names) {}

  Result<> BindAll(const std::vector<SeriesLayer>& series) {
    const int64_t hidden = config_.hidden_size;
    UNSWIFT_ASSIGN_OR_RETURN(model_.embed_tokens_,
                             Matrix(Weight(names_.embed_tokens), config_.vocab_size, hidden));
    if (!names_.embed_positions.empty()) {
      UNSWIFT_ASSIGN_OR_RETURN(
          model_.embed_positions_,
          Matrix(Weight(names_.embed_positions), config_.max_position_embeddings, hidden));
    }
    UNSWIFT_ASSIGN_OR_RETURN(model_.final_norm_, NormOf("", names_.final_norm, hidden));
    model_.lm_head_ = model_.embed_tokens_;
    if (!config_.tie_word_embeddings) {
      UNSWIFT_ASSIGN_OR_RETURN(model_.lm_head_,
                               Matrix(Weight(names_.lm_head), config_.vocab_size, hidden));
    }
    if (config_.architecture->lm_head_bias) {
      UNSWIFT_ASSIGN_OR_RETURN(model_.lm_head_bias_,
                               Vector(std::string(names_.lm_head) + ".bias", config_.vocab_size));
    }
    auto next_series = series.begin();
    for (int64_t layer = 0; layer < config_.num_hidden_layers; ++layer) {
      const bool is_protected = next_series != series.end() && next_series->layer == layer;
      UNSWIFT_ASSIGN_OR_RETURN(LayerWeights weights,
                               Layer(layer, is_protected ? &*next_series : nullptr));
      model_.layers_.push_back(std::move(weights));
      if (is_protected) ++next_series;
    }
    if (next_series != series.end()) {
      return MakeError(ErrorCode::kInvalidData,
                       "[bind_model] series of layer {}: expected ascending layers below {}",
                       next_series->layer, config_.num_hidden_layers);
    }
    model_.num_protected_layers_ = static_cast<int64_t>(series.size());
    return {};
  }

 private:
  static std::string Weight(std::string_view name) { return std::string(name) + ".weight"; }

  Result<LayerWeights> Layer(int64_t layer, const SeriesLayer* series) {
    const std::string prefix = LayerPrefix(*config_.architecture, layer);
    const int64_t hidden = config_.hidden_size;
    LayerWeights weights;
    UNSWIFT_ASSIGN_OR_RETURN(weights.input_norm, NormOf(prefix, names_.input_norm, hidden));
    UNSWIFT_ASSIGN_OR_RETURN(weights.attention_output_norm,
                             NormOf(prefix, names_.attention_output_norm, hidden));
    UNSWIFT_ASSIGN_OR_RETURN(weights.post_attention_norm,
                             NormOf(prefix, names_.post_attention_norm, hidden));
    UNSWIFT_ASSIGN_OR_RETURN(weights.mlp_output_norm,
                             NormOf(prefix, names_.mlp_output_norm, hidden));
    UNSWIFT_ASSIGN_OR_RETURN(weights.attention, Attention(prefix));
    UNSWIFT_ASSIGN_OR_RETURN(weights.mlp, Mlp(prefix, series));
    return weights;
  }

  Result<AttentionWeights> Attention(const std::string& prefix) {
    const auto name = [&](std::string_view part) { return prefix + std::string(part); };
    const int64_t hidden = config_.hidden_size, q = config_.q_size(), kv = config_.kv_size();
    const bool bias = config_.qkv_bias;
    AttentionWeights attention;
    if (names_.qkv_proj.empty()) {
      UNSWIFT_ASSIGN_OR_RETURN(attention.q_proj, Linear(name(names_.q_proj), q, hidden, bias));
      UNSWIFT_ASSIGN_OR_RETURN(attention.k_proj, Linear(name(names_.k_proj), kv, hidden, bias));
      UNSWIFT_ASSIGN_OR_RETURN(attention.v_proj, Linear(name(names_.v_proj), kv, hidden, bias));
    } else {
      UNSWIFT_ASSIGN_OR_RETURN(LinearWeights fused,
                               Linear(name(names_.qkv_proj), q + 2 * kv, hidden, bias));
      if (config_.architecture->qkv_layout == QkvLayout::kPerHead) {
        attention.qkv_proj = std::move(fused);
      } else if (config_.architecture->conv1d && conv1d_ == Conv1dWeights::kKeep) {
        // A fused [in, out] matrix has no row ranges: only its shape is checked.
        attention.q_proj = std::move(fused);
      } else {
        attention.q_proj = RowRange(fused, 0, q);
        attention.k_proj = RowRange(fused, q, kv);
        attention.v_proj = RowRange(fused, q + kv, kv);
      }
    }
    UNSWIFT_ASSIGN_OR_RETURN(attention.o_proj,
                             Linear(name(names_.o_proj), hidden, q, config_.o_bias));
    if (config_.qk_norm) {
      UNSWIFT_ASSIGN_OR_RETURN(attention.q_norm, NormOf(prefix, names_.q_norm, config_.head_dim));
      UNSWIFT_ASSIGN_OR_RETURN(attention.k_norm, NormOf(prefix, names_.k_norm, config_.head_dim));
    }
    return attention;
  }

  Result<MlpWeights> Mlp(const std::string& prefix, const SeriesLayer* series) {
    const auto name = [&](std::string_view part) { return prefix + std::string(part); };
    const int64_t hidden = config_.hidden_size, inner = config_.intermediate_size;
    MlpWeights mlp;
    if (!names_.gate_up_proj.empty()) {
      UNSWIFT_ASSIGN_OR_RETURN(
          const LinearWeights fused,
          Linear(name(names_.gate_up_proj), 2 * inner, hidden, config_.mlp_bias));
      mlp.gate_proj = RowRange(fused, 0, inner);
      mlp.up_proj = RowRange(fused, inner, inner);
    } else {
      if (config_.architecture->mlp == MlpKind::kGated) {
        UNSWIFT_ASSIGN_OR_RETURN(mlp.gate_proj,
                                 Linear(name(names_.gate_proj), inner, hidden, config_.mlp_bias));
      }
      UNSWIFT_ASSIGN_OR_RETURN(mlp.up_proj,
                               Linear(name(names_.up_proj), inner, hidden, config_.mlp_bias));
    }
    int64_t plain_units = inner;
    if (series != nullptr) {
      UNSWIFT_ASSIGN_OR_RETURN(mlp.series, Series(name(names_.series), *series));
      plain_units -= series->protected_units;
    }
    // A protected MLP's output bias is part of its series.
    const bool bias = config_.mlp_bias && series == nullptr;
    if (plain_units > 0) {
      UNSWIFT_ASSIGN_OR_RETURN(mlp.down_proj,
                               Linear(name(names_.down_proj), hidden, plain_units, bias));
    }
    return mlp;
  }

  Result<SeriesWeights> Series(const std::string& prefix, const SeriesLayer& layer) {
    if (layer.protected_units < 1 || layer.protected_units > config_.intermediate_size) {
      return MakeError(ErrorCode::kInvalidData,
                       "[bind_model] {}: expected 1..{} protected units, got {}", prefix,
                       config_.intermediate_size, layer.protected_units);
    }
    SeriesWeights series;
    series.basis = layer.basis;
    series.guard = layer.guard;
    series.cutoff = static_cast<float>(layer.cutoff);
    series.cutoff_order = layer.cutoff_order;
    series.first_order = config_.architecture->mlp == MlpKind::kPlain ? 1 : 0;
    UNSWIFT_ASSIGN_OR_RETURN(series.centre, Vector(prefix + ".centre", layer.protected_units));
    UNSWIFT_ASSIGN_OR_RETURN(series.inv_radius,
                             Vector(prefix + ".inv_radius", layer.protected_units));
    for (float inverse : series.inv_radius) {
      if (!(inverse > 0.0f)) {
        return WrongTensor(prefix + ".inv_radius", "positive values", fmt::format("{}", inverse));
      }
    }
    UNSWIFT_RETURN_IF_ERROR(Orders(prefix + ".orders", layer, series));
    UNSWIFT_ASSIGN_OR_RETURN(series.theta,
                             Matrix(prefix + ".theta", config_.hidden_size, layer.features));
    UNSWIFT_RETURN_IF_ERROR(WholeBlocks(prefix, series));
    if (series.first_order == 1 || config_.mlp_bias) {
      UNSWIFT_ASSIGN_OR_RETURN(series.bias, Vector(prefix + ".bias", config_.hidden_size));
    }
    return series;
  }

  /// In a quantised theta every order begins with a block of its own.
  static Result<> WholeBlocks(const std::string& prefix, const SeriesWeights& series) {
    for (const int64_t units : series.units_of_order) {
      if (!series.theta.is_packed() || units % kQuantBlockSize == 0) continue;
      return WrongTensor(
          prefix + ".orders",
          fmt::format("a multiple of {} units of each order beside a quantised theta",
                      kQuantBlockSize),
          fmt::format("{}", units));
    }
    return {};
  }

  Result<> Orders(const std::string& name, const SeriesLayer& layer, SeriesWeights& series) {
    UNSWIFT_ASSIGN_OR_RETURN(const TensorView tensor, Tensor(name));
    if (tensor.dtype != DType::kU8 || tensor.shape != Shape{layer.protected_units}) {
      return WrongTensor(name, fmt::format("u8 [{}]", layer.protected_units), Describe(tensor));
    }
    const auto* values = reinterpret_cast<const uint8_t*>(tensor.data);
    series.orders.assign(values, values + layer.protected_units);
    if (!std::is_sorted(series.orders.rbegin(), series.orders.rend()) || series.orders.back() < 1 ||
        series.orders.front() > kMaxSeriesOrder) {
      return WrongTensor(name, fmt::format("orders 1..{}, descending", kMaxSeriesOrder),
                         fmt::format("{}..{}", series.orders.front(), series.orders.back()));
    }
    for (int order = 0; order <= series.orders.front(); ++order) {
      series.units_of_order.push_back(
          std::count_if(series.orders.begin(), series.orders.end(),
                        [order](uint8_t unit_order) { return unit_order >= order; }));
    }
    if (series.units().num_features() != layer.features) {
      return WrongTensor(name, fmt::format("orders that make {} features", layer.features),
                         fmt::format("{}", series.units().num_features()));
    }
    return {};
  }

  /// The norm PREFIX + NAME; none for an empty name.
  Result<NormWeights> NormOf(const std::string& prefix, std::string_view part, int64_t size) {
    NormWeights norm;
    if (part.empty()) return norm;
    const std::string name = prefix + std::string(part);
    UNSWIFT_ASSIGN_OR_RETURN(norm.weight, Vector(name + ".weight", size));
    if (config_.architecture->norm_one_plus) {
      for (float& weight : norm.weight) weight += 1.0f;
    }
    if (config_.architecture->norm == NormKind::kLayer) {
      UNSWIFT_ASSIGN_OR_RETURN(norm.bias, Vector(name + ".bias", size));
    }
    return norm;
  }

  Result<LinearWeights> Linear(const std::string& name, int64_t out, int64_t in, bool has_bias) {
    LinearWeights linear;
    if (config_.architecture->conv1d) {
      UNSWIFT_ASSIGN_OR_RETURN(linear.weight, Transposed(name + ".weight", out, in));
    } else {
      UNSWIFT_ASSIGN_OR_RETURN(linear.weight, Matrix(name + ".weight", out, in));
    }
    if (has_bias) {
      UNSWIFT_ASSIGN_OR_RETURN(linear.bias, Vector(name + ".bias", out));
    }
    return linear;
  }

  /// Outputs [begin, begin + count) of a fused linear, in place.
  static LinearWeights RowRange(const LinearWeights& fused, int64_t begin, int64_t count) {
    LinearWeights part{fused.weight.Rows(begin, count), {}};
    if (!fused.bias.empty()) {
      part.bias.assign(fused.bias.begin() + begin, fused.bias.begin() + begin + count);
    }
    return part;
  }

  /// The tensor of that name, counted among those that the model reads.
  Result<TensorView> Tensor(const std::string& name) {
    UNSWIFT_ASSIGN_OR_RETURN(TensorView tensor, model_.checkpoint_->Get(name));
    model_.bound_bytes_ += tensor.num_bytes;
    return tensor;
  }

  Result<MatrixView> Matrix(const std::string& name, int64_t rows, int64_t cols) {
    UNSWIFT_ASSIGN_OR_RETURN(const TensorView tensor, Tensor(name));
    if (IsFloat(tensor.dtype) && tensor.shape == Shape{rows, cols}) return AsMatrix(tensor);
    if (const std::optional<MatrixView> packed = AsPackedMatrix(tensor, rows, cols)) {
      model_.extra_parameters_ += rows * cols - tensor.num_elements();
      return *packed;
    }
    return WrongTensor(name,
                       fmt::format("f32, f16 or bf16 [{}, {}], or u8 {} (q8_0) or {} (q4_0)", rows,
                                   cols, ShapeString(PackedShape(DType::kQ8_0, rows, cols)),
                                   ShapeString(PackedShape(DType::kQ4_0, rows, cols))),
                       Describe(tensor));
  }

  Result<MatrixView> Transposed(const std::string& name, int64_t out, int64_t in) {
    UNSWIFT_ASSIGN_OR_RETURN(const MatrixView stored, Matrix(name, in, out));
    if (stored.is_packed()) {
      return MakeError(ErrorCode::kUnsupported,
                       "[bind_model] tensor '{}': a matrix stored [in, out] cannot be quantised",
                       name);
    }
    if (conv1d_ == Conv1dWeights::kKeep) return stored;
    const int64_t element = BlockBytes(stored.dtype);
    std::byte* const copy = model_.owned_.emplace_back().GetBytes(in * out * element);
    Transpose(stored.data, in, out, element, copy);
    return MatrixView{stored.dtype, out, in, in * element, copy};
  }

  Result<std::vector<float>> Vector(const std::string& name, int64_t size) {
    UNSWIFT_ASSIGN_OR_RETURN(const TensorView tensor, Tensor(name));
    if (!IsFloat(tensor.dtype) || tensor.shape != Shape{size}) {
      return WrongTensor(name, fmt::format("f32, f16 or bf16 [{}]", size), Describe(tensor));
    }
    std::vector<float> values(size);
    FastRowToF32(tensor.dtype, tensor.data, values);
    if (!AllFinite(DType::kF32, reinterpret_cast<const std::byte*>(values.data()), size)) {
      return WrongTensor(name, "finite values", "NaN or infinity");
    }
    return values;
  }

  static std::string Describe(const TensorView& tensor) {
    return fmt::format("{} {}", DTypeName(tensor.dtype), ShapeString(tensor.shape));
  }

  Model& model_;
  const Conv1dWeights conv1d_;
  const ModelConfig& config_;
  const WeightNames& names_;
};

Result<Model> Model::Bind(ModelConfig config, Checkpoint checkpoint,
                          const std::vector<SeriesLayer>& series, Conv1dWeights conv1d) {
  Model model;
  model.config_ = std::move(config);
  model.checkpoint_ = std::make_unique<Checkpoint>(std::move(checkpoint));
  model.config_.architecture = NamedAsIn(*model.checkpoint_, model.config_.architecture);
  UNSWIFT_RETURN_IF_ERROR(WeightBinder(model, conv1d).BindAll(series));
  return model;
}

void Model::CopyWeights(ThreadPool& pool) {
  if (!is_placed_) Place(std::nullopt, pool);
}

ConversionLoss Model::ConvertWeights(DType dtype, ThreadPool& pool) { return Place(dtype, pool); }

ConversionLoss Model::Place(std::optional<DType> dtype, ThreadPool& pool) {
  const std::vector<Placement> placements = Placements(layers_, lm_head_, dtype);
  int64_t bytes = 0;
  for (const Placement& place : placements) bytes += place.bytes();
  AlignedBuffer memory;
  std::byte* next = memory.GetBytes(bytes);
  ConversionLoss loss;
  for (const Placement& place : placements) {
    const MatrixView old = *place.matrix;
    loss.Add(ConvertMatrix(old, place.dtype, next, pool));
    *place.matrix = ConvertedView(old, place.dtype, next);
    extra_bytes_ += place.matrix->num_bytes() - old.num_bytes();
    next += place.bytes();
  }
  if (config_.tie_word_embeddings) embed_tokens_ = lm_head_;
  owned_.clear();  // nothing is left in what Bind transposed
  owned_.push_back(std::move(memory));
  is_placed_ = true;
  for (const auto& [name, tensor] : checkpoint_->tensors()) checkpoint_->Release(name);
  return loss;
}

bool Model::has_quantized_weights() const {
  return lm_head_.is_packed() || embed_tokens_.is_packed() ||
         std::any_of(layers_.begin(), layers_.end(), [](const LayerWeights& layer) {
           return layer.attention.q_proj.weight.is_packed() ||
                  layer.mlp.up_proj.weight.is_packed() || layer.mlp.down_proj.weight.is_packed();
         });
}

int64_t Model::num_parameters() const {
  int64_t total = 0;
  for (const auto& [name, tensor] : checkpoint_->tensors()) total += tensor.num_elements();
  return total + extra_parameters_;
}

int64_t Model::weight_bytes_per_token() const {
  int64_t total = bound_bytes_ + extra_bytes_;
  const auto row_only = [&](const MatrixView& table) {
    if (table.rows > 0) total -= table.num_bytes() - table.row_bytes;
  };
  if (!config_.tie_word_embeddings) row_only(embed_tokens_);
  row_only(embed_positions_);
  return total;
}

}  // namespace unswift
