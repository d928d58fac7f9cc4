#include "unswift/tokenizer/tokenizer.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "unswift/io/json.h"
#include "unswift/io/text.h"
#include "unswift/tokenizer/added_tokens.h"
#include "unswift/tokenizer/decoder.h"
#include "unswift/tokenizer/model.h"
#include "unswift/tokenizer/normalizer.h"
#include "unswift/tokenizer/post_processor.h"
#include "unswift/tokenizer/pre_tokenizer.h"
#include "unswift/tokenizer/utf8.h"

namespace unswift {
namespace {

constexpr size_t kMaxTextBytes = size_t{1} << 30;

/// What one Encode call needs beside the immutable parts.
struct EncodeScratch {
  TextScratch text;
  std::unique_ptr<ModelScratch> model;
};

/// Lends scratch to calls, so that word caches outlive a call and no two threads share one.
class ScratchPool {
 public:
  std::unique_ptr<EncodeScratch> Take(const Model& model) {
    {
      const std::lock_guard lock(mutex_);
      if (!idle_.empty()) {
        std::unique_ptr<EncodeScratch> scratch = std::move(idle_.back());
        idle_.pop_back();
        return scratch;
      }
    }
    auto scratch = std::make_unique<EncodeScratch>();
    scratch->model = model.NewScratch();
    return scratch;
  }
  void Give(std::unique_ptr<EncodeScratch> scratch) {
    const std::lock_guard lock(mutex_);
    if (idle_.size() < kMaxIdle) idle_.push_back(std::move(scratch));
  }

 private:
  static constexpr size_t kMaxIdle = 64;
  std::mutex mutex_;
  std::vector<std::unique_ptr<EncodeScratch>> idle_;
};

Result<> CheckVersion(const Json& json, const PartContext& context) {
  UNSWIFT_ASSIGN_OR_RETURN(const std::string version,
                           PartFieldOr<std::string>(json, "version", "1.0", context));
  if (version == "1.0") return {};
  return MakeError(ErrorCode::kUnsupported, "[open_tokenizer] {}: expected version 1.0, got '{}'",
                   context.what, Shorten(version));
}

/// The optional part `key`; null when the file has none.
template <typename Part>
Result<std::unique_ptr<Part>> ReadPart(const Json& json, std::string_view key,
                                       const PartContext& context) {
  const Json* part = FindMember(json, key);
  if (part == nullptr) return std::unique_ptr<Part>();
  return Part::FromJson(*part, context);
}

}  // namespace

struct Tokenizer::Impl {
  std::unique_ptr<Normalizer> normalizer;       // null: none
  std::unique_ptr<PreTokenizer> pre_tokenizer;  // null: none
  std::unique_ptr<Model> model;
  std::unique_ptr<PostProcessor> post_processor;  // null: none
  std::unique_ptr<Decoder> decoder;               // null: none
  std::optional<AddedTokens> added;
  mutable ScratchPool scratch_pool;

  Result<> Read(const Json& json, const PartContext& context);
  Result<> CheckAddedIds(const PartContext& context) const;
  Result<> EncodeInto(std::string_view text, EncodeScratch& scratch,
                      std::vector<int32_t>& ids) const;
  Result<> EncodeText(std::string_view text, bool at_start, EncodeScratch& scratch,
                      std::vector<int32_t>& ids) const;
  Result<> EncodeWords(std::string_view text, bool at_start, EncodeScratch& scratch,
                       std::vector<int32_t>& ids) const;
  const std::string* Surface(int32_t id, bool skip_special_tokens) const;
};

Result<> Tokenizer::Impl::Read(const Json& json, const PartContext& context) {
  UNSWIFT_RETURN_IF_ERROR(CheckVersion(json, context));
  UNSWIFT_ASSIGN_OR_RETURN(model, Model::FromJson(MemberOrNull(json, "model"), context));
  UNSWIFT_ASSIGN_OR_RETURN(normalizer, ReadPart<Normalizer>(json, "normalizer", context));
  UNSWIFT_ASSIGN_OR_RETURN(pre_tokenizer, ReadPart<PreTokenizer>(json, "pre_tokenizer", context));
  UNSWIFT_ASSIGN_OR_RETURN(post_processor,
                           ReadPart<PostProcessor>(json, "post_processor", context));
  UNSWIFT_ASSIGN_OR_RETURN(decoder, ReadPart<Decoder>(json, "decoder", context));
  UNSWIFT_ASSIGN_OR_RETURN(added,
                           AddedTokens::FromJson(FindMember(json, "added_tokens"), normalizer.get(),
                                                 model->vocabulary(), context));
  return CheckAddedIds(context);
}

/// The post-processor must not bring ids that no token has.
Result<> Tokenizer::Impl::CheckAddedIds(const PartContext& context) const {
  if (post_processor == nullptr) return {};
  for (const int32_t id : post_processor->AddedIds()) {
    if (Surface(id, /*skip_special_tokens=*/false) != nullptr) continue;
    return MakeError(ErrorCode::kInvalidData,
                     "[open_tokenizer] {}: post_processor: expected ids of tokens, got {}",
                     context.what, id);
  }
  return {};
}

/// Text without special handling -> normalized -> pieces around normalized added tokens.
Result<> Tokenizer::Impl::EncodeText(std::string_view text, bool at_start, EncodeScratch& scratch,
                                     std::vector<int32_t>& ids) const {
  std::string normalized;
  if (normalizer != nullptr) {
    normalized = text;
    UNSWIFT_RETURN_IF_ERROR(normalizer->Normalize(normalized, scratch.text));
    text = normalized;
  }
  std::vector<AddedTokenSpan> spans;
  added->CutNormalized(text, spans);
  for (const auto& [token, span] : spans) {
    if (token != nullptr) {
      ids.push_back(token->id);
    } else {
      UNSWIFT_RETURN_IF_ERROR(EncodeWords(text.substr(span.begin, span.end - span.begin),
                                          at_start && span.begin == 0, scratch, ids));
    }
  }
  return {};
}

/// Text without added tokens -> words -> ids.
Result<> Tokenizer::Impl::EncodeWords(std::string_view text, bool at_start, EncodeScratch& scratch,
                                      std::vector<int32_t>& ids) const {
  if (pre_tokenizer == nullptr) {
    model->Tokenize(text, *scratch.model, ids);
    return {};
  }
  PreTokenizedText input{std::string(text), {{0, text.size()}}, at_start};
  UNSWIFT_RETURN_IF_ERROR(pre_tokenizer->Apply(input, scratch.text));
  for (const ByteSpan& piece : input.pieces) {
    model->Tokenize(std::string_view(input.text).substr(piece.begin, piece.end - piece.begin),
                    *scratch.model, ids);
  }
  return {};
}

Result<> Tokenizer::Impl::EncodeInto(std::string_view text, EncodeScratch& scratch,
                                     std::vector<int32_t>& ids) const {
  std::vector<AddedTokenSpan> spans;
  added->CutRaw(text, spans);
  for (const auto& [token, span] : spans) {
    if (token != nullptr) {
      ids.push_back(token->id);
    } else {
      UNSWIFT_RETURN_IF_ERROR(EncodeText(text.substr(span.begin, span.end - span.begin),
                                         span.begin == 0, scratch, ids));
    }
  }
  return {};
}

/// What `id` adds to a decoded text; null when it is unknown or skipped.
const std::string* Tokenizer::Impl::Surface(int32_t id, bool skip_special_tokens) const {
  const AddedToken* token = added->FindId(id);
  if (token == nullptr) return model->vocabulary().Token(id);
  if (!skip_special_tokens) return &token->surface;
  // The reference looks the surface up among the contents of special tokens.
  const AddedToken* same = added->FindContent(token->surface);
  return same != nullptr && same->special ? nullptr : &token->surface;
}

Tokenizer::Tokenizer(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Result<Tokenizer> Tokenizer::Open(const FileSet& model) {
  constexpr char kName[] = "tokenizer.json";
  UNSWIFT_ASSIGN_OR_RETURN(const Json json, ReadJson(model, kName));
  return FromJson(json, model.PathOf(kName).string());
}

Result<Tokenizer> Tokenizer::FromJson(const Json& json, std::string_view what) {
  auto impl = std::make_unique<Impl>();
  UNSWIFT_RETURN_IF_ERROR(impl->Read(json, {what}));
  return Tokenizer(std::move(impl));
}

Result<std::vector<int32_t>> Tokenizer::Encode(std::string_view text,
                                               bool add_special_tokens) const {
  if (text.size() > kMaxTextBytes) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "[encode] text: expected at most {} bytes, got {}", kMaxTextBytes,
                     text.size());
  }
  if (!IsValidUtf8(text)) {
    return MakeError(ErrorCode::kInvalidArgument, "[encode] text: expected UTF-8, got other bytes");
  }
  std::vector<int32_t> ids;
  std::unique_ptr<EncodeScratch> scratch = impl_->scratch_pool.Take(*impl_->model);
  scratch->text.SetInputSize(text.size());
  const Result<> status = impl_->EncodeInto(text, *scratch, ids);
  impl_->scratch_pool.Give(std::move(scratch));
  UNSWIFT_RETURN_IF_ERROR(status);
  if (add_special_tokens && impl_->post_processor != nullptr) impl_->post_processor->Process(ids);
  return ids;
}

std::string Tokenizer::Decode(const std::vector<int32_t>& ids, bool skip_special_tokens) const {
  DecoderRun run(impl_->decoder.get());
  for (const int32_t id : ids) {
    if (const std::string* token = impl_->Surface(id, skip_special_tokens)) run.Token(*token);
  }
  run.Finish();
  return run.TakeText();
}

int32_t Tokenizer::vocab_size() const {
  return std::max(impl_->model->vocabulary().size(), impl_->added->size());
}

std::optional<int32_t> Tokenizer::TokenToId(std::string_view token) const {
  if (const AddedToken* added = impl_->added->FindContent(token)) return added->id;
  return impl_->model->vocabulary().Find(token);
}

std::optional<std::string> Tokenizer::IdToToken(int32_t id) const {
  if (const AddedToken* added = impl_->added->FindId(id)) return added->content;
  const std::string* token = impl_->model->vocabulary().Token(id);
  return token == nullptr ? std::nullopt : std::optional(*token);
}

bool Tokenizer::IsSpecial(int32_t id) const {
  const AddedToken* added = impl_->added->FindId(id);
  return added != nullptr && added->special;
}

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens)
    : tokenizer_(&tokenizer),
      skip_special_tokens_(skip_special_tokens),
      run_(std::make_unique<DecoderRun>(tokenizer.impl_->decoder.get())) {}
StreamDecoder::StreamDecoder(StreamDecoder&&) noexcept = default;
StreamDecoder& StreamDecoder::operator=(StreamDecoder&&) noexcept = default;
StreamDecoder::~StreamDecoder() = default;

std::string StreamDecoder::Append(int32_t id) {
  if (const std::string* token = tokenizer_->impl_->Surface(id, skip_special_tokens_)) {
    run_->Token(*token);
  }
  return run_->TakeText();
}

std::string StreamDecoder::Finish() {
  run_->Finish();
  return run_->TakeText();
}

}  // namespace unswift
