#include "unswift/model/decoder.h"

#include <cmath>

#include "unswift/ops/activation.h"
#include "unswift/ops/attention.h"
#include "unswift/ops/matmul.h"
#include "unswift/ops/norm.h"
#include "unswift/ops/pack.h"
#include "unswift/ops/rope.h"

namespace unswift {
namespace {

/// A buffer of rows that grows and is reused from pass to pass.
class RowBuffer {
 public:
  Rows Get(int64_t rows, int64_t cols) {
    if (static_cast<int64_t>(values_.size()) < rows * cols) values_.resize(rows * cols);
    return {values_.data(), rows, cols};
  }

 private:
  std::vector<float> values_;
};

void AddRows(ConstRows from, Rows to) {
  for (int64_t r = 0; r < to.rows; ++r) {
    const float* source = from.row(r).data();
    float* target = to.row(r).data();
    for (int64_t c = 0; c < to.cols; ++c) target[c] += source[c];
  }
}

}  // namespace

struct Decoder::Workspace {
  int64_t num_rows = 0;
  std::vector<int32_t> positions;  // [num_rows]
  Rows hidden;                     // [num_rows, hidden_size], the residual stream
  RowBuffer hidden_buffer, normed, q, k, v, attention, gate, up, series;
};

Decoder::Decoder(const Model& model, ThreadPool& pool)
    : model_(model), pool_(pool), work_(std::make_unique<Workspace>()) {
  const ModelConfig& config = model.config();
  if (config.architecture->position == PositionKind::kRope) {
    for (int64_t i = 0; i < config.head_dim / 2; ++i) {
      inv_freq_.push_back(
          std::pow(config.rope_theta, -2.0 * static_cast<double>(i) / config.head_dim));
    }
  }
}

Decoder::~Decoder() = default;

std::unique_ptr<KvCache> Decoder::MakeCache() const {
  const ModelConfig& config = model_.config();
  return MakeFullCache({config.num_hidden_layers, config.num_key_value_heads, config.head_dim},
                       MakeF32Codec());
}

Result<> Decoder::CheckBatch(std::span<const SequenceInput> batch) const {
  const ModelConfig& config = model_.config();
  if (batch.empty()) return MakeError(ErrorCode::kInvalidArgument, "[forward] empty batch");
  for (const SequenceInput& sequence : batch) {
    if (sequence.ids.empty()) {
      return MakeError(ErrorCode::kInvalidArgument, "[forward] a sequence without tokens");
    }
    const int64_t end = sequence.cache->length() + static_cast<int64_t>(sequence.ids.size());
    if (end > config.max_position_embeddings) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "[forward] context: expected at most {} tokens, got {}",
                       config.max_position_embeddings, end);
    }
    for (int32_t id : sequence.ids) {
      if (id < 0 || id >= config.vocab_size) {
        return MakeError(ErrorCode::kInvalidArgument, "[forward] token id: expected 0..{}, got {}",
                         config.vocab_size - 1, id);
      }
    }
  }
  return {};
}

void Decoder::Embed(std::span<const SequenceInput> batch) {
  work_->positions.clear();
  for (const SequenceInput& sequence : batch) {
    for (size_t i = 0; i < sequence.ids.size(); ++i) {
      work_->positions.push_back(static_cast<int32_t>(sequence.cache->length() + i));
    }
  }
  work_->num_rows = static_cast<int64_t>(work_->positions.size());
  work_->hidden = work_->hidden_buffer.Get(work_->num_rows, model_.config().hidden_size);
  const MatrixView& tokens = model_.embed_tokens();
  const MatrixView& positions = model_.embed_positions();
  std::vector<float> position_row(positions.rows > 0 ? positions.cols : 0);
  int64_t r = 0;
  for (const SequenceInput& sequence : batch) {
    for (int32_t id : sequence.ids) {
      const std::span<float> row = work_->hidden.row(r);
      FastMatrixRowToF32(tokens, id, row);
      if (positions.rows > 0) {
        FastMatrixRowToF32(positions, work_->positions[r], position_row);
        for (size_t c = 0; c < row.size(); ++c) row[c] += position_row[c];
      }
      ++r;
    }
  }
}

void Decoder::Normalize(const NormWeights& norm, Rows out) {
  const auto eps = static_cast<float>(model_.config().norm_eps);
  if (model_.config().architecture->norm == NormKind::kRms) {
    RmsNorm(work_->hidden, norm.weight, eps, out, pool_);
  } else {
    LayerNorm(work_->hidden, norm.weight, norm.bias, eps, out, pool_);
  }
}

Result<ConstRows> Decoder::Forward(std::span<const SequenceInput> batch, MlpObserver* observer) {
  UNSWIFT_RETURN_IF_ERROR(CheckBatch(batch));
  Embed(batch);
  for (int64_t layer = 0; layer < model_.config().num_hidden_layers; ++layer) {
    RunAttention(layer, batch);
    RunMlp(layer, observer);
  }
  for (const SequenceInput& sequence : batch) {
    sequence.cache->Advance(static_cast<int64_t>(sequence.ids.size()));
  }
  const Rows normed = work_->normed.Get(work_->num_rows, model_.config().hidden_size);
  Normalize(model_.final_norm(), normed);
  return ConstRows(normed);
}

void Decoder::RunAttention(int64_t layer, std::span<const SequenceInput> batch) {
  const ModelConfig& config = model_.config();
  const AttentionWeights& weights = model_.layers()[layer].attention;
  const int64_t rows = work_->num_rows;
  const Rows normed = work_->normed.Get(rows, config.hidden_size);
  const Rows q = work_->q.Get(rows, config.q_size());
  const Rows k = work_->k.Get(rows, config.kv_size());
  const Rows v = work_->v.Get(rows, config.kv_size());
  const Rows attention = work_->attention.Get(rows, config.q_size());
  Normalize(model_.layers()[layer].input_norm, normed);
  MatMul(normed, weights.q_proj.weight, weights.q_proj.bias_or_null(), q, pool_);
  MatMul(normed, weights.k_proj.weight, weights.k_proj.bias_or_null(), k, pool_);
  MatMul(normed, weights.v_proj.weight, weights.v_proj.bias_or_null(), v, pool_);
  if (config.architecture->position == PositionKind::kRope) {
    ApplyRope(q, config.head_dim, work_->positions, inv_freq_, pool_);
    ApplyRope(k, config.head_dim, work_->positions, inv_freq_, pool_);
  }
  const float scale = 1.0f / std::sqrt(static_cast<float>(config.head_dim));
  int64_t begin = 0;
  for (const SequenceInput& sequence : batch) {
    const auto count = static_cast<int64_t>(sequence.ids.size());
    sequence.cache->Append(layer, k.Slice(begin, count), v.Slice(begin, count));
    Attention(q.Slice(begin, count), sequence.cache->View(layer), scale,
              attention.Slice(begin, count), pool_);
    begin += count;
  }
  MatMul(attention, weights.o_proj.weight, weights.o_proj.bias_or_null(), work_->hidden, pool_,
         MatMulMode::kAccumulate);
}

void Decoder::RunMlp(int64_t layer, MlpObserver* observer) {
  const ModelConfig& config = model_.config();
  const MlpWeights& mlp = model_.layers()[layer].mlp;
  const int64_t rows = work_->num_rows;
  const bool gated = config.architecture->mlp == MlpKind::kGated;
  const Rows normed = work_->normed.Get(rows, config.hidden_size);
  Normalize(model_.layers()[layer].post_attention_norm, normed);
  const Rows up = work_->up.Get(rows, config.intermediate_size);
  MatMul(normed, mlp.up_proj.weight, mlp.up_proj.bias_or_null(), up, pool_);
  Rows z = up, u;
  if (gated) {
    z = work_->gate.Get(rows, config.intermediate_size);
    u = up;
    MatMul(normed, mlp.gate_proj.weight, mlp.gate_proj.bias_or_null(), z, pool_);
  }
  if (mlp.series) RunSeries(mlp, z, u);
  // The plain units: all of them, or what a release left unprotected.
  const int64_t first = mlp.series ? mlp.series->protected_units() : 0;
  const int64_t count = config.intermediate_size - first;
  if (count > 0) {
    // The activation goes to a buffer of its own: an observer still needs z and u.
    const Rows active = work_->series.Get(rows, count);
    if (gated) {
      GatedActivation(config.hidden_act, z.Columns(first, count), u.Columns(first, count), active,
                      pool_);
    } else {
      PlainActivation(config.hidden_act, z.Columns(first, count), active, pool_);
    }
    MatMul(active, mlp.down_proj.weight, mlp.down_proj.bias_or_null(), work_->hidden, pool_,
           MatMulMode::kAccumulate);
  }
  if (observer != nullptr) observer->OnMlp(layer, z, u, work_->hidden);
}

void Decoder::RunSeries(const MlpWeights& mlp, ConstRows z, ConstRows u) {
  const SeriesWeights& series = *mlp.series;
  const int64_t units = series.protected_units();
  // Summed apart from the residual stream, which may be much larger than one MLP's terms.
  const Rows sum = work_->series.Get(work_->num_rows, model_.config().hidden_size);
  const auto columns = [&](ConstRows rows) {
    return rows.data == nullptr ? ConstRows() : rows.Columns(0, units);
  };
  SeriesDownProjection(series.units(), columns(z), columns(u), series.theta, sum, pool_,
                       /*accumulate=*/false);
  if (!series.bias.empty()) {
    const ConstRows bias(series.bias.data(), sum.rows, sum.cols, /*stride=*/0);
    AddRows(bias, sum);
  }
  AddRows(sum, work_->hidden);
}

void Decoder::Logits(ConstRows hidden, Rows logits) {
  MatMul(hidden, model_.lm_head(), nullptr, logits, pool_);
}

}  // namespace unswift
