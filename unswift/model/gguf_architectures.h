// Which tensors and settings of a GGUF file become which of a Hugging Face directory: one row per
// tensor, one table row per architecture. Internal to model/gguf_*.cc.
//
// Source: the `gguf` package's tensor map and llama.cpp's convert_hf_to_gguf.py, read backwards.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "unswift/base/result.h"
#include "unswift/io/gguf.h"
#include "unswift/io/json_fwd.h"

namespace unswift {

/// Named sizes of a model, for the shapes of its tensors.
enum class GgufExtent {
  kOne,
  kVocab,
  kHidden,
  kFeedForward,
  kGateAndUp,
  kQuery,
  kKeyValue,
  kQkv,
  kHeadDim,
  kContext
};

struct GgufSizes {
  int64_t vocab, hidden, feed_forward, layers, heads, kv_heads, head_dim, rope_dim, context;
  int64_t Of(GgufExtent extent) const;
};

/// What llama.cpp's converter did to a tensor, to be undone.
enum class GgufChange {
  kSame,
  kInterleavedHeads,  // each head's rows are stored as neighbouring RoPE pairs
  kPlusOne,           // Gemma's norms are stored as 1 + weight
  kTransposed,        // GPT-2's Conv1D is [in, out] in the original
  kQkvPerHead,        // the original has the rows of q, k and v head by head (GPT-NeoX)
  kQueryRows,         // the original has q, k and v apart: the rows of one of them
  kKeyRows,
  kValueRows
};

/// Optional tensors come in groups: all of a group or none, in every layer.
enum class GgufGroup { kRequired, kHead, kAttentionBias, kMlpBias, kSplitQkv, kFusedQkv };

struct GgufTensorRow {
  std::string_view gguf_name;          // of a layer: behind "blk.N."
  std::string_view hf_name;            // of a layer: behind the architecture's prefix and "N."
  GgufExtent rows;                     // of the produced tensor
  GgufExtent cols = GgufExtent::kOne;  // kOne: a vector
  GgufChange change = GgufChange::kSame;
  GgufGroup group = GgufGroup::kRequired;
};

/// The settings of one file, behind its architecture's prefix.
class GgufSettings {
 public:
  GgufSettings(const GgufFile& file, std::string_view prefix) : file_(file), prefix_(prefix) {}

  const GgufFile& file() const { return file_; }
  std::string Key(std::string_view name) const { return fmt::format("{}.{}", prefix_, name); }
  bool Has(std::string_view name) const { return file_.Has(Key(name)); }
  template <typename T>
  Result<T> GetOr(std::string_view name, T fallback) const {
    return file_.GetOr<T>(Key(name), std::move(fallback));
  }
  /// A size of 1 to 2^30; without a fallback it must be there.
  Result<int64_t> Size(std::string_view name, std::optional<int64_t> fallback = {}) const;
  tl::unexpected<Error> Fail(std::string_view why, ErrorCode code = ErrorCode::kInvalidData) const {
    return MakeError(code, "[import_gguf] {}: {}", file_.path().string(), why);
  }

 private:
  const GgufFile& file_;
  std::string prefix_;
};

struct GgufArchitecture {
  std::string_view gguf_name;
  std::string_view hf_class;
  std::string_view model_type;
  std::string_view hidden_act;
  std::string_view layer_prefix;  // "model.layers."
  std::string_view eps_key;       // behind "NAME."
  std::span<const GgufTensorRow> model_rows;
  std::span<const GgufTensorRow> layer_rows;
  /// Adds to config.json what is this architecture's own. Errors: kUnsupported, kInvalidData.
  Result<> (*configure)(const GgufSettings& settings, const GgufSizes& sizes, Json& config);
  bool partial_rope = false;  // RoPE may turn a part of each head
};

/// Errors: kUnsupported, naming the nearest and all known.
Result<const GgufArchitecture*> FindGgufArchitecture(std::string_view gguf_name);

/// Tensors that are settings in disguise and become part of config.json (rope_freqs.weight, ...).
bool IsGgufSettingTensor(std::string_view name);

}  // namespace unswift
