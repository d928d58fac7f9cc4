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
#include "unswift/model/architecture.h"
#include "unswift/model/gguf_architectures.h"
#include "unswift/model/unswift_config.h"
#include "unswift/tensor/convert.h"

namespace unswift {
namespace {

namespace fs = std::filesystem;

constexpr float kF16Overflow = 65520.0f;  // from here on float32 rounds to an infinite f16

/// Settings that change the forward pass and have no place in the produced config. Their neutral
/// value is accepted.
struct RefusedKey {
  std::string_view key;  // behind "llama."
  double neutral;
};

constexpr RefusedKey kRefusedKeys[] = {
    {"expert_count", 0},    {"attention.clamp_kqv", 0}, {"rope.scale_linear", 1},
    {"embedding_scale", 1}, {"residual_scale", 1},      {"logit_scale", 1},
};

/// One tensor to write.
struct Job {
  const GgufTensor* source;
  TensorSpec spec;
  GgufChange change;
  int64_t first_row;  // of the source
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
  GgufSettings Settings() const { return GgufSettings(file_, architecture_->gguf_name); }
  Result<> RefuseUnknownSettings() const;
  Result<> ReadSizes();
  bool HasGroup(GgufGroup group) const;
  Result<> AddJobs();
  Result<> AddJob(const GgufTensorRow& row, const std::string& gguf_prefix,
                  const std::string& hf_prefix);
  int64_t FirstRow(GgufChange change) const;
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
  Result<> WriteRows(const Job& job, ConstRows rows, SafetensorsWriter& writer,
                     ConversionLoss& loss) const;
  Result<> WriteVector(const Job& job, SafetensorsWriter& writer, ConversionLoss& loss) const;
  Result<> WriteMatrix(const Job& job, SafetensorsWriter& writer, ConversionLoss& loss) const;
  Result<> WriteTransposed(const Job& job, SafetensorsWriter& writer, ConversionLoss& loss) const;
  int64_t SourceRow(const Job& job, int64_t row) const;
  void Undo(const Job& job, std::span<float> values) const;

  const GgufFile& file_;
  const DType dtype_;
  const GgufArchitecture* architecture_ = nullptr;
  GgufSizes sizes_ = {};
  std::vector<Job> jobs_;
  Json config_, generation_config_, tokenizer_, tokenizer_config_;
};

Result<> Importer::Prepare() {
  UNSWIFT_ASSIGN_OR_RETURN(const std::string name, file_.Get<std::string>("general.architecture"));
  Result<const GgufArchitecture*> found = FindGgufArchitecture(Shorten(name));
  if (!found) return Fail(found.error().message, found.error().code);
  architecture_ = *found;
  UNSWIFT_RETURN_IF_ERROR(RefuseUnknownSettings());
  UNSWIFT_RETURN_IF_ERROR(ReadSizes());
  UNSWIFT_RETURN_IF_ERROR(AddJobs());
  UNSWIFT_RETURN_IF_ERROR(RefuseUnknownTensors());
  UNSWIFT_RETURN_IF_ERROR(BuildConfig());
  return BuildTokenizer();
}

Result<> Importer::RefuseUnknownSettings() const {
  for (const RefusedKey& refused : kRefusedKeys) {
    UNSWIFT_ASSIGN_OR_RETURN(const double value,
                             Settings().GetOr<double>(refused.key, refused.neutral));
    if (value == refused.neutral) continue;
    return Fail(fmt::format("'{}': expected {}, got {}", Settings().Key(refused.key),
                            refused.neutral, value),
                ErrorCode::kUnsupported);
  }
  return {};
}

Result<> Importer::ReadSizes() {
  const GgufSettings settings = Settings();
  UNSWIFT_ASSIGN_OR_RETURN(sizes_.hidden, settings.Size("embedding_length"));
  UNSWIFT_ASSIGN_OR_RETURN(sizes_.feed_forward, settings.Size("feed_forward_length"));
  UNSWIFT_ASSIGN_OR_RETURN(sizes_.layers, settings.Size("block_count"));
  UNSWIFT_ASSIGN_OR_RETURN(sizes_.context, settings.Size("context_length"));
  UNSWIFT_ASSIGN_OR_RETURN(sizes_.heads, settings.Size("attention.head_count"));
  UNSWIFT_ASSIGN_OR_RETURN(sizes_.kv_heads, settings.Size("attention.head_count_kv", sizes_.heads));
  const int64_t even_split = std::max<int64_t>(sizes_.hidden / sizes_.heads, 1);
  UNSWIFT_ASSIGN_OR_RETURN(sizes_.head_dim, settings.Size("attention.key_length", even_split));
  UNSWIFT_ASSIGN_OR_RETURN(const int64_t value_dim,
                           settings.Size("attention.value_length", sizes_.head_dim));
  UNSWIFT_ASSIGN_OR_RETURN(sizes_.rope_dim, settings.Size("rope.dimension_count", sizes_.head_dim));
  const bool whole = architecture_->partial_rope ? sizes_.rope_dim <= sizes_.head_dim
                                                 : sizes_.rope_dim == sizes_.head_dim;
  if (value_dim != sizes_.head_dim || !whole || sizes_.rope_dim % 2 != 0) {
    return Fail(fmt::format("expected one even size for keys, values and RoPE, got {}, {}, {}",
                            sizes_.head_dim, value_dim, sizes_.rope_dim),
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
bool Importer::HasGroup(GgufGroup group) const {
  const auto has = [&](std::span<const GgufTensorRow> rows, std::string_view prefix) {
    return std::any_of(rows.begin(), rows.end(), [&](const GgufTensorRow& row) {
      return row.group == group &&
             file_.FindTensor(fmt::format("{}{}", prefix, row.gguf_name)) != nullptr;
    });
  };
  return has(architecture_->model_rows, "") || has(architecture_->layer_rows, "blk.0.");
}

Result<> Importer::AddJobs() {
  const bool either =
      std::any_of(architecture_->layer_rows.begin(), architecture_->layer_rows.end(),
                  [](const GgufTensorRow& row) { return row.group == GgufGroup::kFusedQkv; });
  if (either && HasGroup(GgufGroup::kFusedQkv) == HasGroup(GgufGroup::kSplitQkv)) {
    return Fail("expected either 'blk.0.attn_qkv.weight' or 'blk.0.attn_q.weight'");
  }
  for (const GgufTensorRow& row : architecture_->model_rows) {
    if (row.group != GgufGroup::kRequired && !HasGroup(row.group)) continue;
    UNSWIFT_RETURN_IF_ERROR(AddJob(row, "", ""));
  }
  for (int64_t layer = 0; layer < sizes_.layers; ++layer) {
    for (const GgufTensorRow& row : architecture_->layer_rows) {
      if (row.group != GgufGroup::kRequired && !HasGroup(row.group)) continue;
      UNSWIFT_RETURN_IF_ERROR(AddJob(row, fmt::format("blk.{}.", layer),
                                     fmt::format("{}{}.", architecture_->layer_prefix, layer)));
    }
  }
  return {};
}

/// Where the rows of q, k or v begin in a fused matrix.
int64_t Importer::FirstRow(GgufChange change) const {
  const int64_t query = sizes_.Of(GgufExtent::kQuery);
  if (change == GgufChange::kKeyRows) return query;
  if (change == GgufChange::kValueRows) return query + sizes_.Of(GgufExtent::kKeyValue);
  return 0;
}

bool IsPartOfFused(GgufChange change) {
  return change == GgufChange::kQueryRows || change == GgufChange::kKeyRows ||
         change == GgufChange::kValueRows;
}

Result<> Importer::AddJob(const GgufTensorRow& row, const std::string& gguf_prefix,
                          const std::string& hf_prefix) {
  const std::string name = fmt::format("{}{}", gguf_prefix, row.gguf_name);
  const GgufTensor* tensor = file_.FindTensor(name);
  if (tensor == nullptr) return Fail(fmt::format("tensor '{}': expected, but absent", name));
  Shape shape = {sizes_.Of(row.rows)};
  if (row.cols != GgufExtent::kOne) shape.push_back(sizes_.Of(row.cols));
  Shape stored = shape;
  if (row.change == GgufChange::kTransposed) std::reverse(stored.begin(), stored.end());
  if (IsPartOfFused(row.change)) stored[0] = sizes_.Of(GgufExtent::kQkv);
  if (tensor->shape != stored) {
    return Fail(fmt::format("tensor '{}': expected shape {}, got {}", name, ShapeString(stored),
                            ShapeString(tensor->shape)));
  }
  if (tensor->type->dequantize == nullptr) {
    return Fail(fmt::format("tensor '{}': expected one of {}, got {}", name,
                            DequantizableGgufTypes(), tensor->type->name),
                ErrorCode::kUnsupported);
  }
  jobs_.push_back({tensor,
                   {fmt::format("{}{}", hf_prefix, row.hf_name), TypeOf(shape), shape},
                   row.change,
                   FirstRow(row.change)});
  return {};
}

/// A tensor that no row names would be lost, and the model be another one.
Result<> Importer::RefuseUnknownTensors() const {
  std::set<const GgufTensor*> known;
  for (const Job& job : jobs_) known.insert(job.source);
  for (const auto& [name, tensor] : file_.tensors()) {
    if (known.contains(&tensor) || IsGgufSettingTensor(name)) continue;
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
  const std::string eps_key = Settings().Key(architecture_->eps_key);
  UNSWIFT_ASSIGN_OR_RETURN(const double eps, file_.Get<double>(eps_key));
  if (!(eps > 0 && eps < 1)) {
    return Fail(fmt::format("'{}': expected a number in (0, 1), got {}", eps_key, eps));
  }
  UNSWIFT_ASSIGN_OR_RETURN(const Architecture* produced,
                           FindArchitecture(architecture_->model_type));
  config_ = {{"architectures", Json::array({architecture_->hf_class})},
             {"model_type", architecture_->model_type},
             {"vocab_size", sizes_.vocab},
             {"hidden_size", sizes_.hidden},
             {"intermediate_size", sizes_.feed_forward},
             {"num_hidden_layers", sizes_.layers},
             {"num_attention_heads", sizes_.heads},
             {"num_key_value_heads", sizes_.kv_heads},
             {"head_dim", sizes_.head_dim},
             {"max_position_embeddings", sizes_.context},
             {produced->keys.norm_eps, eps},
             {"hidden_act", architecture_->hidden_act},
             {"attention_bias", HasGroup(GgufGroup::kAttentionBias)},
             {"mlp_bias", HasGroup(GgufGroup::kMlpBias)},
             {"tie_word_embeddings", !HasGroup(GgufGroup::kHead)},
             {"use_cache", true},
             {"torch_dtype", TorchName(dtype_)}};
  UNSWIFT_RETURN_IF_ERROR(architecture_->configure(Settings(), sizes_, config_));
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
  UNSWIFT_ASSIGN_OR_RETURN(tokenizer_config_, TokenizerConfigFromGguf(file_, sizes_.context));
  const size_t tokens = tokenizer_["model"]["vocab"].size();
  if (std::cmp_less_equal(tokens, sizes_.vocab)) return {};
  return Fail(fmt::format("expected at most {} tokens (rows of token_embd.weight), got {}",
                          sizes_.vocab, tokens));
}

/// Where llama.cpp put row `row` of the original matrix: of a head's rows, [2, half] became
/// [half, 2]; GPT-NeoX's q, k and v came apart.
int64_t Importer::SourceRow(const Job& job, int64_t row) const {
  const int64_t half = sizes_.head_dim / 2, in_head = row % sizes_.head_dim;
  if (job.change == GgufChange::kQkvPerHead) {
    const int64_t block = row / sizes_.head_dim;  // [heads, 3], stored as [3, heads]
    return (block % 3 * sizes_.heads + block / 3) * sizes_.head_dim + in_head;
  }
  if (job.change != GgufChange::kInterleavedHeads) return job.first_row + row;
  return row - in_head + in_head % half * 2 + in_head / half;
}

void Importer::Undo(const Job& job, std::span<float> values) const {
  if (job.change != GgufChange::kPlusOne) return;
  for (float& value : values) value -= 1.0f;
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
  std::vector<float> stored(NumElements(job.source->shape)), ordered(count);
  UNSWIFT_RETURN_IF_ERROR(file_.DequantizeRows(*job.source, 0, stored));
  for (int64_t i = 0; i < count; ++i) ordered[i] = stored[SourceRow(job, i)];
  Undo(job, ordered);
  std::vector<std::byte> bytes(count * BlockBytes(job.spec.dtype));
  UNSWIFT_RETURN_IF_ERROR(Round(job, ConstRows(ordered.data(), 1, count), bytes.data(), loss));
  return writer.Append(bytes);
}

/// Appends up to a packed group of rows.
Result<> Importer::WriteRows(const Job& job, ConstRows rows, SafetensorsWriter& writer,
                             ConversionLoss& loss) const {
  const MatrixView group{DType::kF32, rows.rows, rows.cols, 0, nullptr};
  std::vector<std::byte> bytes(ConvertedBytes(group, job.spec.dtype));
  UNSWIFT_RETURN_IF_ERROR(Round(job, rows, bytes.data(), loss));
  return writer.Append(bytes);
}

/// Sixteen rows at a time (a packed group), so that memory does not grow with the matrix.
Result<> Importer::WriteMatrix(const Job& job, SafetensorsWriter& writer,
                               ConversionLoss& loss) const {
  const int64_t rows = job.spec.shape[0], columns = job.spec.shape[1];
  std::vector<float> values(kPackedRows * columns);
  for (int64_t begin = 0; begin < rows; begin += kPackedRows) {
    const int64_t count = std::min(kPackedRows, rows - begin);
    for (int64_t i = 0; i < count; ++i) {
      const std::span<float> row = std::span(values).subspan(i * columns, columns);
      UNSWIFT_RETURN_IF_ERROR(file_.DequantizeRows(*job.source, SourceRow(job, begin + i), row));
      Undo(job, row);
    }
    UNSWIFT_RETURN_IF_ERROR(WriteRows(job, ConstRows(values.data(), count, columns), writer, loss));
  }
  return {};
}

/// The whole matrix at once: only GPT-2 has these, and its matrices are small.
Result<> Importer::WriteTransposed(const Job& job, SafetensorsWriter& writer,
                                   ConversionLoss& loss) const {
  const int64_t rows = job.spec.shape[0], columns = job.spec.shape[1];
  std::vector<float> stored(rows * columns), group(kPackedRows * columns);
  UNSWIFT_RETURN_IF_ERROR(file_.DequantizeRows(*job.source, 0, stored));
  for (int64_t begin = 0; begin < rows; begin += kPackedRows) {
    const int64_t count = std::min(kPackedRows, rows - begin);
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t k = 0; k < columns; ++k) group[i * columns + k] = stored[k * rows + begin + i];
    }
    UNSWIFT_RETURN_IF_ERROR(WriteRows(job, ConstRows(group.data(), count, columns), writer, loss));
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
    const Job& job = jobs_[i];
    const auto write = job.spec.shape.size() == 1              ? &Importer::WriteVector
                       : job.change == GgufChange::kTransposed ? &Importer::WriteTransposed
                                                               : &Importer::WriteMatrix;
    UNSWIFT_RETURN_IF_ERROR((this->*write)(job, writer, loss));
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
