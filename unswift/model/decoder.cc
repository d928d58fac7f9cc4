#include "unswift/model/decoder.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>

#include "unswift/ops/activation.h"
#include "unswift/ops/aligned_buffer.h"
#include "unswift/ops/attention.h"
#include "unswift/ops/norm.h"
#include "unswift/ops/pack.h"
#include "unswift/ops/rope.h"

namespace unswift {
namespace {

/// Rows that are reused from pass to pass. They start at a cache line: kernels write whole ones.
class RowBuffer {
 public:
  Rows Get(int64_t rows, int64_t cols) { return {buffer_.Get(rows * cols), rows, cols}; }

 private:
  AlignedBuffer buffer_;
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
  std::vector<int32_t> positions;      // [num_rows]
  Rows hidden;                         // [num_rows, hidden_size], the residual stream
  std::vector<RopeTable> rope_tables;  // of each rope
  RowBuffer hidden_buffer, normed, mlp_normed, branch, qkv, q, k, v, attention, gate, up, series;
};

Decoder::Decoder(const Model& model, ThreadPool& pool, DecoderOptions options)
    : model_(model),
      pool_(pool),
      options_(std::move(options)),
      work_(std::make_unique<Workspace>()) {
  for (const RopeConfig& rope : model.config().ropes) {
    inv_freq_.push_back(rope.depends_on_length() ? std::vector<double>()
                                                 : RopeFrequencies(rope, /*length=*/0));
  }
}

Decoder::~Decoder() = default;

std::unique_ptr<KvCache> Decoder::MakeCache() const {
  const ModelConfig& config = model_.config();
  return MakeFullCache({config.num_hidden_layers, config.num_key_value_heads, config.head_dim},
                       options_.kv_codec);
}

Result<> Decoder::CheckBatch(std::span<const SequenceInput> batch) const {
  const ModelConfig& config = model_.config();
  if (batch.empty()) return MakeError(ErrorCode::kInvalidArgument, "[forward] empty batch");
  for (const SequenceInput& sequence : batch) {
    if (sequence.ids.empty()) {
      return MakeError(ErrorCode::kInvalidArgument, "[forward] a sequence without tokens");
    }
    const int64_t end = sequence.cache->length() + static_cast<int64_t>(sequence.ids.size());
    if (end > config.context_length) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "[forward] context: expected at most {} tokens, got {}",
                       config.context_length, end);
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
  const ModelConfig& config = model_.config();
  const float scale = config.architecture->scale_embedding
                          ? std::sqrt(static_cast<float>(config.hidden_size))
                          : 1.0f;
  const MatrixView& tokens = model_.embed_tokens();
  const MatrixView& positions = model_.embed_positions();
  std::vector<float> position_row(positions.rows > 0 ? positions.cols : 0);
  int64_t r = 0;
  for (const SequenceInput& sequence : batch) {
    for (int32_t id : sequence.ids) {
      const std::span<float> row = work_->hidden.row(r);
      FastMatrixRowToF32(tokens, id, row);
      if (scale != 1.0f) {
        for (float& value : row) value *= scale;
      }
      if (positions.rows > 0) {
        FastMatrixRowToF32(positions, work_->positions[r], position_row);
        for (size_t c = 0; c < row.size(); ++c) row[c] += position_row[c];
      }
      ++r;
    }
  }
}

void Decoder::FillRopeTables(std::span<const SequenceInput> batch) {
  const std::vector<RopeConfig>& ropes = model_.config().ropes;
  work_->rope_tables.resize(ropes.size());
  for (size_t i = 0; i < ropes.size(); ++i) {
    RopeTable& table = work_->rope_tables[i];
    table.Resize(work_->num_rows, ropes[i].rotary_dim / 2);
    const std::span<const int32_t> positions = work_->positions;
    const double scale = ropes[i].attention_factor;
    if (!ropes[i].depends_on_length()) {
      table.SetRows(0, positions, inv_freq_[i], scale, pool_);
      continue;
    }
    size_t begin = 0;
    for (const SequenceInput& sequence : batch) {
      const auto count = sequence.ids.size();
      const int64_t end = sequence.cache->length() + static_cast<int64_t>(count);
      const int64_t length = std::max(end, sequence.planned_length);
      table.SetRows(static_cast<int64_t>(begin), positions.subspan(begin, count),
                    RopeFrequencies(ropes[i], length), scale, pool_);
      begin += count;
    }
  }
}

void Decoder::Project(const LinearWeights& linear, ConstRows x, Rows y, MatMulMode mode) {
  MatMul(x, linear.weight, linear.bias_or_null(), y, pool_, mode, options_.activations);
}

void Decoder::Project(std::initializer_list<Projection> projections, ConstRows x) {
  std::array<MatMulOutput, 3> outputs;
  UNSWIFT_CHECK(projections.size() <= outputs.size());
  size_t count = 0;
  for (const auto& [linear, y] : projections) {
    outputs[count++] = {linear.weight, linear.bias_or_null(), y};
  }
  MatMul(x, std::span(outputs).first(count), pool_, MatMulMode::kOverwrite, options_.activations);
}

void Decoder::Normalize(const NormWeights& norm, ConstRows x, Rows out) {
  const auto eps = static_cast<float>(model_.config().norm_eps);
  if (model_.config().architecture->norm == NormKind::kRms) {
    RmsNorm(x, norm.weight, eps, out, pool_);
  } else {
    LayerNorm(x, norm.weight, norm.bias, eps, out, pool_);
  }
}

Result<ConstRows> Decoder::Forward(std::span<const SequenceInput> batch, MlpObserver* observer) {
  UNSWIFT_RETURN_IF_ERROR(CheckBatch(batch));
  Embed(batch);
  FillRopeTables(batch);
  for (int64_t layer = 0; layer < model_.config().num_hidden_layers; ++layer) {
    RunLayer(layer, batch, observer);
  }
  for (const SequenceInput& sequence : batch) {
    sequence.cache->Advance(static_cast<int64_t>(sequence.ids.size()));
  }
  const Rows normed = work_->normed.Get(work_->num_rows, model_.config().hidden_size);
  Normalize(model_.final_norm(), work_->hidden, normed);
  return ConstRows(normed);
}

Rows Decoder::BranchOf(const NormWeights& output_norm) {
  if (!output_norm) return work_->hidden;
  const Rows branch = work_->branch.Get(work_->hidden.rows, work_->hidden.cols);
  std::fill_n(branch.data, branch.rows * branch.cols, 0.0f);
  return branch;
}

void Decoder::EndBranch(const NormWeights& output_norm, Rows branch) {
  if (!output_norm) return;
  Normalize(output_norm, branch, branch);
  AddRows(branch, work_->hidden);
}

void Decoder::RunLayer(int64_t layer, std::span<const SequenceInput> batch, MlpObserver* observer) {
  const LayerWeights& weights = model_.layers()[layer];
  const int64_t rows = work_->num_rows, hidden_size = model_.config().hidden_size;
  const bool parallel = model_.config().block == BlockKind::kParallel;
  const Rows normed = work_->normed.Get(rows, hidden_size);
  Normalize(weights.input_norm, work_->hidden, normed);
  // A parallel block's MLP reads the stream before attention adds to it.
  Rows mlp_input = normed;
  if (parallel && weights.post_attention_norm) {
    mlp_input = work_->mlp_normed.Get(rows, hidden_size);
    Normalize(weights.post_attention_norm, work_->hidden, mlp_input);
  }
  const Rows attention = BranchOf(weights.attention_output_norm);
  RunAttention(layer, normed, batch, attention);
  EndBranch(weights.attention_output_norm, attention);
  if (!parallel) Normalize(weights.post_attention_norm, work_->hidden, mlp_input);
  const Rows mlp = BranchOf(weights.mlp_output_norm);
  ConstRows z, u;
  RunMlp(layer, mlp_input, mlp, z, u);
  EndBranch(weights.mlp_output_norm, mlp);
  if (observer != nullptr) observer->OnMlp(layer, z, u, work_->hidden);
}

void Decoder::ProjectQkv(const AttentionWeights& weights, ConstRows input, Rows q, Rows k, Rows v) {
  if (weights.qkv_proj.weight.rows == 0) {
    return Project({{weights.q_proj, q}, {weights.k_proj, k}, {weights.v_proj, v}}, input);
  }
  // Stored head by head: the outputs are sorted, not the mapped weights.
  const Rows fused = work_->qkv.Get(input.rows, weights.qkv_proj.weight.rows);
  Project(weights.qkv_proj, input, fused);
  const int64_t head_dim = model_.config().head_dim;
  for (int64_t r = 0; r < input.rows; ++r) {
    const float* from = fused.row(r).data();
    for (int64_t column = 0; column < q.cols; column += head_dim) {
      for (const Rows& to : {q, k, v}) {
        std::copy_n(from, head_dim, to.row(r).data() + column);
        from += head_dim;
      }
    }
  }
}

void Decoder::RunAttention(int64_t layer, ConstRows input, std::span<const SequenceInput> batch,
                           Rows out) {
  const ModelConfig& config = model_.config();
  const AttentionWeights& weights = model_.layers()[layer].attention;
  const int64_t rows = work_->num_rows, head_dim = config.head_dim;
  const Rows q = work_->q.Get(rows, config.q_size());
  const Rows k = work_->k.Get(rows, config.kv_size());
  const Rows v = work_->v.Get(rows, config.kv_size());
  const Rows attention = work_->attention.Get(rows, config.q_size());
  ProjectQkv(weights, input, q, k, v);
  if (weights.q_norm) {
    const auto heads = [&](Rows x) { return Rows(x.data, rows * x.cols / head_dim, head_dim); };
    Normalize(weights.q_norm, heads(q), heads(q));
    Normalize(weights.k_norm, heads(k), heads(k));
  }
  if (!config.ropes.empty()) {
    const RopeTable& table = work_->rope_tables[config.layers[layer].rope];
    ApplyRope(q, head_dim, table, pool_);
    ApplyRope(k, head_dim, table, pool_);
  }
  AttentionOptions options;
  options.scale = static_cast<float>(config.layers[layer].attention_scale);
  options.window = config.layers[layer].window;
  options.softcap = static_cast<float>(config.attention_softcap);
  int64_t begin = 0;
  for (const SequenceInput& sequence : batch) {
    const auto count = static_cast<int64_t>(sequence.ids.size());
    sequence.cache->Append(layer, k.Slice(begin, count), v.Slice(begin, count));
    const auto start = std::chrono::steady_clock::now();
    Attention(q.Slice(begin, count), sequence.cache->View(layer), options,
              attention.Slice(begin, count), pool_);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    attention_seconds_ += elapsed.count();
    begin += count;
  }
  Project(weights.o_proj, attention, out, MatMulMode::kAccumulate);
}

void Decoder::RunMlp(int64_t layer, ConstRows input, Rows out, ConstRows& z, ConstRows& u) {
  const ModelConfig& config = model_.config();
  const MlpWeights& mlp = model_.layers()[layer].mlp;
  const int64_t rows = work_->num_rows;
  const bool gated = config.architecture->mlp == MlpKind::kGated;
  const Rows up = work_->up.Get(rows, config.intermediate_size);
  z = up;
  if (gated) {
    const Rows gate = work_->gate.Get(rows, config.intermediate_size);
    Project({{mlp.gate_proj, gate}, {mlp.up_proj, up}}, input);
    z = gate;
    u = up;
  } else {
    Project(mlp.up_proj, input, up);
  }
  if (mlp.series) RunSeries(mlp, z, u, out);
  // The plain units: all of them, or what a release left unprotected.
  const int64_t first = mlp.series ? mlp.series->protected_units() : 0;
  const int64_t count = config.intermediate_size - first;
  if (count == 0) return;
  // The activation goes to a buffer of its own: an observer still needs z and u.
  const Rows active = work_->series.Get(rows, count);
  if (gated) {
    GatedActivation(config.hidden_act, z.Columns(first, count), u.Columns(first, count), active,
                    pool_);
  } else {
    PlainActivation(config.hidden_act, z.Columns(first, count), active, pool_);
  }
  Project(mlp.down_proj, active, out, MatMulMode::kAccumulate);
}

void Decoder::RunSeries(const MlpWeights& mlp, ConstRows z, ConstRows u, Rows out) {
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
  AddRows(sum, out);
}

void Decoder::Logits(ConstRows hidden, Rows logits) {
  const std::vector<float>& bias = model_.lm_head_bias();
  MatMul(hidden, model_.lm_head(), bias.empty() ? nullptr : bias.data(), logits, pool_);
  const auto cap = static_cast<float>(model_.config().final_softcap);
  if (cap > 0.0f) SoftCap(logits, cap, pool_);
}

}  // namespace unswift
