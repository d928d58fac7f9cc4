// The forward pass: one for prefill and decode, over a batch of sequences of any lengths.
#pragma once

#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "unswift/base/result.h"
#include "unswift/base/thread_pool.h"
#include "unswift/kv/kv_cache.h"
#include "unswift/model/model.h"
#include "unswift/ops/matmul.h"
#include "unswift/tensor/rows.h"

namespace unswift {

/// The next tokens of one sequence; they follow what its cache holds.
struct SequenceInput {
  KvCache* cache = nullptr;
  std::span<const int32_t> ids;
  /// Tokens that the sequence will have when its prompt, run in several passes, is complete. Rope
  /// scalings that look at the length need it, so that passes give what one would; keys that are in
  /// the cache stay as they are. 0: no more than these ids.
  int64_t planned_length = 0;
};

/// Sees the MLPs at work (calibration).
class MlpObserver {
 public:
  virtual ~MlpObserver() = default;
  /// Shapes: z [rows, intermediate_size], the pre-activations, of a plain MLP with its bias;
  ///   u [rows, intermediate_size] (data null for a plain MLP); residual [rows, hidden_size], the
  ///   residual stream after the block. Rows are the batch's tokens, sequence after sequence.
  virtual void OnMlp(int64_t layer, ConstRows z, ConstRows u, ConstRows residual) = 0;
};

struct DecoderOptions {
  /// bf16 is the fast mode of many rows; a release's features stay float32 (their terms cancel).
  ActivationPrecision activations = ActivationPrecision::kFloat32;
  std::shared_ptr<const KvCodec> kv_codec = MakeElementwiseCodec(DType::kF32);
};

/// Runs a model. Holds the activations of one pass, so one Decoder serves one thread of control;
/// the model may be shared. Activations and sums are float32.
class Decoder {
 public:
  Decoder(const Model& model, ThreadPool& pool, DecoderOptions options = {});
  const DecoderOptions& options() const { return options_; }
  ~Decoder();

  const Model& model() const { return model_; }
  ThreadPool& pool() { return pool_; }

  /// An empty cache of the model's shape.
  std::unique_ptr<KvCache> MakeCache() const;

  /// Runs the ids of every sequence and appends to the caches. Returns the final normed hidden
  /// states [sum of ids, hidden_size], sequence after sequence, valid until the next call. Errors:
  /// kInvalidArgument (an id outside the vocabulary, a context longer than the model's, an empty
  /// batch); nothing is appended then. observer may be null.
  Result<ConstRows> Forward(std::span<const SequenceInput> batch, MlpObserver* observer = nullptr);

  /// Spent in the attention kernel by all passes so far.
  double attention_seconds() const { return attention_seconds_; }

  /// Shapes: hidden [m, hidden_size] as Forward returns; logits [m, vocab_size], soft cap applied.
  void Logits(ConstRows hidden, Rows logits);

 private:
  struct Workspace;
  Result<> CheckBatch(std::span<const SequenceInput> batch) const;
  void Embed(std::span<const SequenceInput> batch);
  void FillRopeTables(std::span<const SequenceInput> batch);
  void RunLayer(int64_t layer, std::span<const SequenceInput> batch, MlpObserver* observer);
  /// Add to `out` what the part makes of its normed input.
  void RunAttention(int64_t layer, ConstRows input, std::span<const SequenceInput> batch, Rows out);
  void RunMlp(int64_t layer, ConstRows input, Rows out, ConstRows& z, ConstRows& u);
  void RunSeries(const MlpWeights& mlp, ConstRows z, ConstRows u, Rows out);
  void ProjectQkv(const AttentionWeights& weights, ConstRows input, Rows q, Rows k, Rows v);
  /// y (+)= x W^T + b with the options' activations.
  void Project(const LinearWeights& linear, ConstRows x, Rows y,
               MatMulMode mode = MatMulMode::kOverwrite);
  struct Projection {
    const LinearWeights& linear;
    Rows y;
  };
  /// Up to three of the same x.
  void Project(std::initializer_list<Projection> projections, ConstRows x);
  void Normalize(const NormWeights& norm, ConstRows x, Rows out);
  /// Where a part adds its output: the residual stream, or, before an output norm, zeros.
  Rows BranchOf(const NormWeights& output_norm);
  void EndBranch(const NormWeights& output_norm, Rows branch);

  const Model& model_;
  ThreadPool& pool_;
  DecoderOptions options_;
  std::vector<std::vector<double>> inv_freq_;  ///< of each rope; empty where it follows the length
  double attention_seconds_ = 0.0;
  std::unique_ptr<Workspace> work_;
};

}  // namespace unswift
