#include "unswift/model/gguf_import.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "unswift/base/atomic_directory.h"
#include "unswift/io/gguf.h"
#include "unswift/io/gguf_tokenizer.h"
#include "unswift/io/json.h"
#include "unswift/io/safetensors.h"
#include "unswift/io/text.h"
#include "unswift/model/unswift_config.h"
#include "unswift/tensor/convert.h"

namespace unswift {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxSize = int64_t{1} << 30;  // of one dimension; products of two stay in int64
constexpr float kF16Overflow = 65520.0f;        // from here on float32 rounds to an infinite f16

/// Named sizes of a model, for the shapes of its tensors.
enum class Extent { kNone, kVocab, kHidden, kFeedForward, kQuery, kKeyValue };

struct Sizes {
  int64_t vocab, hidden, feed_forward, layers, heads, kv_heads, head_dim;

  int64_t Of(Extent extent) const {
    switch (extent) {
      case Extent::kVocab:
        return vocab;
      case Extent::kHidden:
        return hidden;
      case Extent::kFeedForward:
        return feed_forward;
      case Extent::kQuery:
        return heads * head_dim;
      case Extent::kKeyValue:
        return kv_heads * head_dim;
      case Extent::kNone:
        break;
    }
    return 1;
  }
};

/// Optional tensors come in groups: all of a group or none, in every layer.
enum class Group { kRequired, kHead, kAttentionBias, kMlpBias };

struct TensorRow {
  std::string_view gguf_name;  // per layer: behind "blk.N."
  std::string_view hf_name;    // per layer: behind "model.layers.N."
  Extent rows;
  Extent cols;                  // kNone: a vector
  bool permuted_heads = false;  // llama.cpp stored each head's rows as interleaved RoPE pairs
  Group group = Group::kRequired;
};

struct Architecture {
  std::string_view gguf_name;
  std::string_view hf_class;
  std::string_view model_type;
  std::string_view hidden_act;
  std::span<const TensorRow> model_rows;
  std::span<const TensorRow> layer_rows;
};

using enum Extent;
using enum Group;

constexpr TensorRow kLlamaModelRows[] = {
    {"token_embd.weight", "model.embed_tokens.weight", kVocab, kHidden},
    {"output_norm.weight", "model.norm.weight", kHidden, kNone},
    {"output.weight", "lm_head.weight", kVocab, kHidden, false, kHead},
};

constexpr TensorRow kLlamaLayerRows[] = {
    {"attn_norm.weight", "input_layernorm.weight", kHidden, kNone},
    {"attn_q.weight", "self_attn.q_proj.weight", kQuery, kHidden, true},
    {"attn_k.weight", "self_attn.k_proj.weight", kKeyValue, kHidden, true},
    {"attn_v.weight", "self_attn.v_proj.weight", kKeyValue, kHidden},
    {"attn_output.weight", "self_attn.o_proj.weight", kHidden, kQuery},
    {"attn_q.bias", "self_attn.q_proj.bias", kQuery, kNone, true, kAttentionBias},
    {"attn_k.bias", "self_attn.k_proj.bias", kKeyValue, kNone, true, kAttentionBias},
    {"attn_v.bias", "self_attn.v_proj.bias", kKeyValue, kNone, false, kAttentionBias},
    {"attn_output.bias", "self_attn.o_proj.bias", kHidden, kNone, false, kAttentionBias},
    {"ffn_norm.weight", "post_attention_layernorm.weight", kHidden, kNone},
    {"ffn_gate.weight", "mlp.gate_proj.weight", kFeedForward, kHidden},
    {"ffn_up.weight", "mlp.up_proj.weight", kFeedForward, kHidden},
    {"ffn_down.weight", "mlp.down_proj.weight", kHidden, kFeedForward},
    {"ffn_gate.bias", "mlp.gate_proj.bias", kFeedForward, kNone, false, kMlpBias},
    {"ffn_up.bias", "mlp.up_proj.bias", kFeedForward, kNone, false, kMlpBias},
    {"ffn_down.bias", "mlp.down_proj.bias", kHidden, kNone, false, kMlpBias},
};

constexpr Architecture kArchitectures[] = {
    {"llama", "LlamaForCausalLM", "llama", "silu", kLlamaModelRows, kLlamaLayerRows},
};

/// Settings that change the forward pass and have no place in the produced config yet. Their
/// neutral value is accepted.
struct RefusedKey {
  std::string_view key;  // behind "llama."
  double neutral;
};

constexpr RefusedKey kRefusedKeys[] = {
    {"expert_count", 0},        {"attention.sliding_window", 0},
    {"attention.clamp_kqv", 0}, {"rope.scaling.factor", 1},
    {"rope.scale_linear", 1},   {"embedding_scale", 1},
    {"residual_scale", 1},      {"logit_scale", 1},
};

/// One tensor to write.
struct Job {
  const GgufTensor* source;
  TensorSpec spec;
  int64_t head_dim;  // 0: the rows keep their order
};

/// Reads everything but the weights, then writes.
class Importer {
 public:
  Importer(const GgufFile& file, DType dtype) : file_(file), dtype_(dtype) {}

  Result<> Prepare();
  Result<GgufImportReport> WriteTo(const fs::path& directory,
                                   const GgufImportProgress& progress) const;

 private:
  tl::unexpected<Error> Fail(std::string_view why, ErrorCode code = ErrorCode::kInvalidData) const {
    return MakeError(code, "[import_gguf] {}: {}", file_.path().string(), why);
  }
  std::string Key(std::string_view name) const {
    return fmt::format("{}.{}", architecture_->gguf_name, name);
  }
  Result<> FindArchitecture();
  Result<> RefuseUnknownSettings() const;
  Result<int64_t> Size(std::string_view name, std::optional<int64_t> fallback = {}) const;
  Result<> ReadSizes();
  bool HasGroup(Group group) const;
  Result<> AddJobs();
  Result<> AddJob(const TensorRow& row, const std::string& gguf_prefix,
                  const std::string& hf_prefix);
  /// Vectors have no blocks.
  DType TypeOf(const Shape& shape) const {
    return IsQuantized(dtype_) && shape.size() == 1 ? DType::kF32 : dtype_;
  }
  Result<> RefuseUnknownTensors() const;
  Result<> BuildConfig();
  Result<Json> TokenIds() const;
  Result<> BuildTokenizer();
  /// Rounds some rows (packed: of one group) to the job's type.
  Result<> Round(const Job& job, ConstRows rows, std::byte* out, ConversionLoss& loss) const;
  Result<> WriteVector(const Job& job, SafetensorsWriter& writer, ConversionLoss& loss) const;
  Result<> WriteMatrix(const Job& job, SafetensorsWriter& writer, ConversionLoss& loss) const;

  const GgufFile& file_;
  const DType dtype_;
  const Architecture* architecture_ = nullptr;
  Sizes sizes_ = {};
  std::vector<Job> jobs_;
  Json config_, generation_config_, tokenizer_, tokenizer_config_;
};

Result<> Importer::Prepare() {
  UNSWIFT_RETURN_IF_ERROR(FindArchitecture());
  UNSWIFT_RETURN_IF_ERROR(RefuseUnknownSettings());
  UNSWIFT_RETURN_IF_ERROR(ReadSizes());
  UNSWIFT_RETURN_IF_ERROR(AddJobs());
  UNSWIFT_RETURN_IF_ERROR(RefuseUnknownTensors());
  UNSWIFT_RETURN_IF_ERROR(BuildConfig());
  return BuildTokenizer();
}

Result<> Importer::FindArchitecture() {
  UNSWIFT_ASSIGN_OR_RETURN(const std::string name, file_.Get<std::string>("general.architecture"));
  for (const Architecture& architecture : kArchitectures) {
    if (architecture.gguf_name == name) architecture_ = &architecture;
  }
  if (architecture_ != nullptr) return {};
  return Fail(fmt::format("expected architecture llama, got '{}'", Shorten(name)),
              ErrorCode::kUnsupported);
}

Result<> Importer::RefuseUnknownSettings() const {
  for (const RefusedKey& refused : kRefusedKeys) {
    const std::string key = Key(refused.key);
    UNSWIFT_ASSIGN_OR_RETURN(const double value, file_.GetOr<double>(key, refused.neutral));
    if (value != refused.neutral) {
      return Fail(fmt::format("'{}': expected {}, got {}", key, refused.neutral, value),
                  ErrorCode::kUnsupported);
    }
  }
  const std::string key = Key("rope.scaling.type");
  UNSWIFT_ASSIGN_OR_RETURN(const std::string scaling, file_.GetOr<std::string>(key, "none"));
  if (scaling == "none") return {};
  return Fail(fmt::format("'{}': expected none, got '{}'", key, Shorten(scaling)),
              ErrorCode::kUnsupported);
}

/// A positive size; without a fallback it must be there.
Result<int64_t> Importer::Size(std::string_view name, std::optional<int64_t> fallback) const {
  const std::string key = Key(name);
  if (fallback && !file_.Has(key)) return *fallback;
  UNSWIFT_ASSIGN_OR_RETURN(const int64_t size, file_.Get<int64_t>(key));
  if (size > 0 && size <= kMaxSize) return size;
  return Fail(fmt::format("'{}': expected 1 to {}, got {}", key, kMaxSize, size));
}

Result<> Importer::ReadSizes() {
  UNSWIFT_ASSIGN_OR_RETURN(sizes_.hidden, Size("embedding_length"));
  UNSWIFT_ASSIGN_OR_RETURN(sizes_.feed_forward, Size("feed_forward_length"));
  UNSWIFT_ASSIGN_OR_RETURN(sizes_.layers, Size("block_count"));
  UNSWIFT_ASSIGN_OR_RETURN(sizes_.heads, Size("attention.head_count"));
  UNSWIFT_ASSIGN_OR_RETURN(sizes_.kv_heads, Size("attention.head_count_kv", sizes_.heads));
  const int64_t even_split = std::max<int64_t>(sizes_.hidden / sizes_.heads, 1);
  UNSWIFT_ASSIGN_OR_RETURN(sizes_.head_dim, Size("attention.key_length", even_split));
  UNSWIFT_ASSIGN_OR_RETURN(const int64_t value_dim,
                           Size("attention.value_length", sizes_.head_dim));
  UNSWIFT_ASSIGN_OR_RETURN(const int64_t rope_dim, Size("rope.dimension_count", sizes_.head_dim));
  if (value_dim != sizes_.head_dim || rope_dim != sizes_.head_dim || rope_dim % 2 != 0) {
    return Fail(fmt::format("expected one even size for keys, values and RoPE, got {}, {}, {}",
                            sizes_.head_dim, value_dim, rope_dim),
                ErrorCode::kUnsupported);
  }
  if (sizes_.heads % sizes_.kv_heads != 0) {
    return Fail(fmt::format("expected key-value heads that divide {} heads, got {}", sizes_.heads,
                            sizes_.kv_heads));
  }
  const GgufTensor* embedding = file_.FindTensor("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2) {
    return Fail("expected a matrix 'token_embd.weight'");
  }
  sizes_.vocab = embedding->shape[0];
  return {};
}

/// A group is there when its first tensor is (in layer 0); AddJob then asks for the others.
bool Importer::HasGroup(Group group) const {
  const auto has = [&](std::span<const TensorRow> rows, std::string_view prefix) {
    return std::any_of(rows.begin(), rows.end(), [&](const TensorRow& row) {
      return row.group == group &&
             file_.FindTensor(fmt::format("{}{}", prefix, row.gguf_name)) != nullptr;
    });
  };
  return has(architecture_->model_rows, "") || has(architecture_->layer_rows, "blk.0.");
}

Result<> Importer::AddJobs() {
  for (const TensorRow& row : architecture_->model_rows) {
    if (row.group != kRequired && !HasGroup(row.group)) continue;
    UNSWIFT_RETURN_IF_ERROR(AddJob(row, "", ""));
  }
  for (int64_t layer = 0; layer < sizes_.layers; ++layer) {
    for (const TensorRow& row : architecture_->layer_rows) {
      if (row.group != kRequired && !HasGroup(row.group)) continue;
      UNSWIFT_RETURN_IF_ERROR(
          AddJob(row, fmt::format("blk.{}.", layer), fmt::format("model.layers.{}.", layer)));
    }
  }
  return {};
}

Result<> Importer::AddJob(const TensorRow& row, const std::string& gguf_prefix,
                          const std::string& hf_prefix) {
  const std::string name = fmt::format("{}{}", gguf_prefix, row.gguf_name);
  const GgufTensor* tensor = file_.FindTensor(name);
  if (tensor == nullptr) return Fail(fmt::format("tensor '{}': expected, but absent", name));
  Shape shape = {sizes_.Of(row.rows)};
  if (row.cols != Extent::kNone) shape.push_back(sizes_.Of(row.cols));
  if (tensor->shape != shape) {
    return Fail(fmt::format("tensor '{}': expected shape {}, got {}", name, ShapeString(shape),
                            ShapeString(tensor->shape)));
  }
  if (tensor->type->dequantize == nullptr) {
    return Fail(fmt::format("tensor '{}': type {} has no conversion", name, tensor->type->name),
                ErrorCode::kUnsupported);
  }
  jobs_.push_back({tensor,
                   {fmt::format("{}{}", hf_prefix, row.hf_name), TypeOf(shape), shape},
                   row.permuted_heads ? sizes_.head_dim : 0});
  return {};
}

/// A tensor that no row names would be lost, and the model be another one.
Result<> Importer::RefuseUnknownTensors() const {
  std::set<const GgufTensor*> known;
  for (const Job& job : jobs_) known.insert(job.source);
  for (const auto& [name, tensor] : file_.tensors()) {
    if (known.contains(&tensor)) continue;
    return Fail(fmt::format("tensor '{}': not part of a plain {} model", Shorten(name),
                            architecture_->gguf_name),
                ErrorCode::kUnsupported);
  }
  return {};
}

Result<Json> Importer::TokenIds() const {
  Json ids = Json::object();
  for (auto [field, key] : {std::pair("bos_token_id", "tokenizer.ggml.bos_token_id"),
                            std::pair("eos_token_id", "tokenizer.ggml.eos_token_id"),
                            std::pair("pad_token_id", "tokenizer.ggml.padding_token_id")}) {
    UNSWIFT_ASSIGN_OR_RETURN(const int64_t id, file_.GetOr<int64_t>(key, -1));
    if (id >= 0 && id < sizes_.vocab) ids[field] = id;
  }
  return ids;
}

std::string_view TorchName(DType dtype) {
  return dtype == DType::kBF16 ? "bfloat16" : dtype == DType::kF16 ? "float16" : "float32";
}

Result<> Importer::BuildConfig() {
  UNSWIFT_ASSIGN_OR_RETURN(const int64_t context, Size("context_length"));
  UNSWIFT_ASSIGN_OR_RETURN(const double eps,
                           file_.Get<double>(Key("attention.layer_norm_rms_epsilon")));
  UNSWIFT_ASSIGN_OR_RETURN(const double theta, file_.GetOr<double>(Key("rope.freq_base"), 10000.0));
  if (!(eps > 0 && eps < 1) || !(theta > 0) || !std::isfinite(theta)) {
    return Fail(fmt::format("expected an epsilon in (0, 1) and a positive RoPE base, got {} and {}",
                            eps, theta));
  }
  config_ = {{"architectures", Json::array({architecture_->hf_class})},
             {"model_type", architecture_->model_type},
             {"vocab_size", sizes_.vocab},
             {"hidden_size", sizes_.hidden},
             {"intermediate_size", sizes_.feed_forward},
             {"num_hidden_layers", sizes_.layers},
             {"num_attention_heads", sizes_.heads},
             {"num_key_value_heads", sizes_.kv_heads},
             {"head_dim", sizes_.head_dim},
             {"max_position_embeddings", context},
             {"rms_norm_eps", eps},
             {"rope_theta", theta},
             {"hidden_act", architecture_->hidden_act},
             {"attention_bias", HasGroup(kAttentionBias)},
             {"mlp_bias", HasGroup(kMlpBias)},
             {"tie_word_embeddings", !HasGroup(kHead)},
             {"use_cache", true},
             {"torch_dtype", TorchName(dtype_)}};
  UNSWIFT_ASSIGN_OR_RETURN(const Json ids, TokenIds());
  config_.update(ids);
  // GGUF has no sampling settings; an end of turn besides the end of text ends generation, too.
  generation_config_ = ids;
  generation_config_["do_sample"] = false;
  UNSWIFT_ASSIGN_OR_RETURN(const int64_t end_of_turn,
                           file_.GetOr<int64_t>("tokenizer.ggml.eot_token_id", -1));
  if (ids.contains("eos_token_id") && end_of_turn >= 0 && end_of_turn < sizes_.vocab &&
      ids["eos_token_id"] != end_of_turn) {
    generation_config_["eos_token_id"] = Json::array({ids["eos_token_id"], end_of_turn});
  }
  return {};
}

Result<> Importer::BuildTokenizer() {
  UNSWIFT_ASSIGN_OR_RETURN(tokenizer_, TokenizerJsonFromGguf(file_));
  UNSWIFT_ASSIGN_OR_RETURN(
      tokenizer_config_,
      TokenizerConfigFromGguf(file_, config_["max_position_embeddings"].get<int64_t>()));
  const size_t tokens = tokenizer_["model"]["vocab"].size();
  if (std::cmp_less_equal(tokens, sizes_.vocab)) return {};
  return Fail(fmt::format("expected at most {} tokens (rows of token_embd.weight), got {}",
                          sizes_.vocab, tokens));
}

/// Where llama.cpp put row `row` of the original matrix: [heads, 2, half] became [heads, half, 2].
int64_t SourceRow(int64_t row, int64_t head_dim) {
  if (head_dim == 0) return row;
  const int64_t half = head_dim / 2, in_head = row % head_dim;
  return row - in_head + in_head % half * 2 + in_head / half;
}

bool FitsF16(std::span<const float> values) {
  return std::none_of(values.begin(), values.end(), [](float value) {
    return std::isfinite(value) && std::abs(value) >= kF16Overflow;
  });
}

Result<> Importer::Round(const Job& job, ConstRows rows, std::byte* out,
                         ConversionLoss& loss) const {
  const DType dtype = job.spec.dtype;
  if (IsQuantized(dtype)) {
    loss.Add(FastPackRows(dtype, rows, out));
    return {};
  }
  std::vector<float> widened(rows.cols);
  for (int64_t r = 0; r < rows.rows; ++r, out += rows.cols * BlockBytes(dtype)) {
    const std::span<const float> row = rows.row(r);
    if (dtype == DType::kF16 && !FitsF16(row)) {
      return Fail(fmt::format("tensor '{}': a value exceeds the range of f16", job.source->name));
    }
    RowFromF32(dtype, row, out);
    RowToF32(dtype, out, widened);
    for (size_t i = 0; i < row.size(); ++i) {
      const double lost = static_cast<double>(widened[i]) - row[i];
      loss.Add({lost * lost, static_cast<double>(row[i]) * row[i]});
    }
  }
  return {};
}

Result<> Importer::WriteVector(const Job& job, SafetensorsWriter& writer,
                               ConversionLoss& loss) const {
  const int64_t count = job.spec.shape[0];
  std::vector<float> stored(count), ordered(count);
  UNSWIFT_RETURN_IF_ERROR(file_.DequantizeRows(*job.source, 0, stored));
  for (int64_t i = 0; i < count; ++i) ordered[i] = stored[SourceRow(i, job.head_dim)];
  std::vector<std::byte> bytes(count * BlockBytes(job.spec.dtype));
  UNSWIFT_RETURN_IF_ERROR(Round(job, ConstRows(ordered.data(), 1, count), bytes.data(), loss));
  return writer.Append(bytes);
}

/// Sixteen rows at a time (a packed group), so that memory does not grow with the matrix.
Result<> Importer::WriteMatrix(const Job& job, SafetensorsWriter& writer,
                               ConversionLoss& loss) const {
  const int64_t rows = job.spec.shape[0], columns = job.spec.shape[1];
  std::vector<float> values(kPackedRows * columns);
  std::vector<std::byte> bytes;
  for (int64_t begin = 0; begin < rows; begin += kPackedRows) {
    const int64_t count = std::min(kPackedRows, rows - begin);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t from = SourceRow(begin + i, job.head_dim);
      UNSWIFT_RETURN_IF_ERROR(
          file_.DequantizeRows(*job.source, from, std::span(values).subspan(i * columns, columns)));
    }
    const MatrixView group{DType::kF32, count, columns, 0, nullptr};
    bytes.resize(ConvertedBytes(group, job.spec.dtype));
    UNSWIFT_RETURN_IF_ERROR(
        Round(job, ConstRows(values.data(), count, columns), bytes.data(), loss));
    UNSWIFT_RETURN_IF_ERROR(writer.Append(bytes));
  }
  return {};
}

Result<GgufImportReport> Importer::WriteTo(const fs::path& directory,
                                           const GgufImportProgress& progress) const {
  const std::string config = IsQuantized(dtype_)
                                 ? UnswiftConfig(config_, {{"weights", DTypeName(dtype_)}}).dump(2)
                                 : config_.dump(2);
  UNSWIFT_RETURN_IF_ERROR(WriteFile(directory / "config.json", config + "\n"));
  UNSWIFT_RETURN_IF_ERROR(
      WriteFile(directory / "generation_config.json", generation_config_.dump(2) + "\n"));
  UNSWIFT_RETURN_IF_ERROR(
      WriteFile(directory / "tokenizer_config.json", tokenizer_config_.dump(2) + "\n"));
  UNSWIFT_RETURN_IF_ERROR(WriteFile(directory / "tokenizer.json", tokenizer_.dump()));

  std::vector<TensorSpec> specs;
  for (const Job& job : jobs_) specs.push_back(job.spec);
  UNSWIFT_ASSIGN_OR_RETURN(
      SafetensorsWriter writer,
      SafetensorsWriter::Create(directory / "model.safetensors", specs, {{"format", "pt"}}));
  const int64_t total = static_cast<int64_t>(jobs_.size());
  ConversionLoss loss;
  for (int64_t i = 0; i < total; ++i) {
    const bool vector = jobs_[i].spec.shape.size() == 1;
    UNSWIFT_RETURN_IF_ERROR(vector ? WriteVector(jobs_[i], writer, loss)
                                   : WriteMatrix(jobs_[i], writer, loss));
    file_.Release(*jobs_[i].source);
    if (progress) progress(i + 1, total);
  }
  UNSWIFT_RETURN_IF_ERROR(writer.Finish());
  return GgufImportReport{std::string(architecture_->gguf_name), total, writer.bytes_written(),
                          loss};
}

}  // namespace

Result<GgufImportReport> ImportGguf(const fs::path& gguf_file, const fs::path& target_dir,
                                    DType dtype, bool replace, const GgufImportProgress& progress) {
  if (!IsFloat(dtype) && !IsQuantized(dtype)) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "[import_gguf] expected f32, f16, bf16, q8_0 or q4_0, got {}",
                     DTypeName(dtype));
  }
  UNSWIFT_ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(gguf_file));
  Importer importer(file, dtype);
  UNSWIFT_RETURN_IF_ERROR(importer.Prepare());
  UNSWIFT_ASSIGN_OR_RETURN(AtomicDirectory target, AtomicDirectory::Create(target_dir, replace));
  UNSWIFT_ASSIGN_OR_RETURN(const GgufImportReport report,
                           importer.WriteTo(target.path(), progress));
  UNSWIFT_RETURN_IF_ERROR(target.Commit());
  return report;
}

}  // namespace unswift
