#include "unswift/tokenizer/added_tokens.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <utility>

#include "unswift/io/json.h"
#include "unswift/io/text.h"
#include "unswift/tokenizer/utf8.h"

namespace unswift {
namespace {

// Bounds the cost of looking for a token at every byte of a text.
constexpr size_t kMaxContentBytes = 1024;
constexpr size_t kMaxTotalBytes = size_t{8} << 20;

/// \w of Unicode's regular expressions (UTS #18, annex C).
bool IsWordCharacter(char32_t code_point) {
  const auto c = static_cast<UChar32>(code_point);
  constexpr uint32_t kMask = U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK;
  return u_hasBinaryProperty(c, UCHAR_ALPHABETIC) || (U_GET_GC_MASK(c) & kMask) != 0 ||
         u_hasBinaryProperty(c, UCHAR_JOIN_CONTROL);
}

bool IsSpace(char32_t code_point) { return u_isUWhiteSpace(static_cast<UChar32>(code_point)); }

char32_t LastCodePoint(std::string_view text) {
  return Utf8CodePoint(text.substr(Utf8LastCharacter(text)));
}

bool StandsAlone(std::string_view text, ByteSpan span) {
  const std::string_view before = text.substr(0, span.begin);
  const std::string_view after = text.substr(span.end);
  return (before.empty() || !IsWordCharacter(LastCodePoint(before))) &&
         (after.empty() || !IsWordCharacter(Utf8CodePoint(after)));
}

size_t SpaceBegin(std::string_view text, size_t end) {
  while (end > 0 && IsSpace(LastCodePoint(text.substr(0, end)))) {
    end = Utf8LastCharacter(text.substr(0, end));
  }
  return end;
}

size_t SpaceEnd(std::string_view text, size_t begin) {
  while (begin < text.size() && IsSpace(Utf8CodePoint(text.substr(begin)))) {
    begin += Utf8Length(text[begin]);
  }
  return begin;
}

Result<> CheckLength(std::string_view surface, const PartContext& context) {
  if (surface.size() <= kMaxContentBytes) return {};
  return MakeError(ErrorCode::kInvalidData,
                   "[open_tokenizer] {}: added token '{}': expected at most {} bytes, got {}",
                   context.what, Shorten(surface), kMaxContentBytes, surface.size());
}

Result<AddedToken> ReadToken(const Json& json, const PartContext& context) {
  AddedToken token;
  UNSWIFT_ASSIGN_OR_RETURN(token.content, PartField<std::string>(json, "content", context));
  UNSWIFT_ASSIGN_OR_RETURN(token.id,
                           ParseTokenId(MemberOrNull(json, "id"), token.content, context));
  UNSWIFT_ASSIGN_OR_RETURN(token.special, PartFieldOr<bool>(json, "special", false, context));
  UNSWIFT_ASSIGN_OR_RETURN(token.normalized,
                           PartFieldOr<bool>(json, "normalized", !token.special, context));
  UNSWIFT_ASSIGN_OR_RETURN(token.single_word,
                           PartFieldOr<bool>(json, "single_word", false, context));
  UNSWIFT_ASSIGN_OR_RETURN(token.lstrip, PartFieldOr<bool>(json, "lstrip", false, context));
  UNSWIFT_ASSIGN_OR_RETURN(token.rstrip, PartFieldOr<bool>(json, "rstrip", false, context));
  return token;
}

}  // namespace

StringFinder::StringFinder() : first_bytes_(256, false) {}

void StringFinder::Insert(std::string_view text, int32_t value) {
  first_bytes_[static_cast<uint8_t>(text[0])] = true;
  int32_t node = 0;
  for (const char byte : text) {
    const auto [edge, is_new] = edges_.try_emplace(EdgeKey(node, byte), nodes_);
    if (is_new) ++nodes_;
    node = edge->second;
  }
  values_.try_emplace(node, value);
}

std::optional<StringFinder::Match> StringFinder::MatchAt(std::string_view text, size_t at) const {
  std::optional<Match> longest;
  int32_t node = 0;
  for (size_t i = at; i < text.size(); ++i) {
    const auto edge = edges_.find(EdgeKey(node, text[i]));
    if (edge == edges_.end()) break;
    node = edge->second;
    if (const auto value = values_.find(node); value != values_.end()) {
      longest = Match{{at, i + 1}, value->second};
    }
  }
  return longest;
}

std::optional<StringFinder::Match> StringFinder::FindNext(std::string_view text,
                                                          size_t from) const {
  for (size_t at = from; at < text.size(); ++at) {
    if (!first_bytes_[static_cast<uint8_t>(text[at])]) continue;
    if (std::optional<Match> match = MatchAt(text, at)) return match;
  }
  return std::nullopt;
}

Result<AddedTokens> AddedTokens::FromJson(const Json* json, const Normalizer* normalizer,
                                          const Vocabulary& vocabulary,
                                          const PartContext& context) {
  AddedTokens tokens;
  if (json == nullptr) return tokens;
  if (!json->is_array()) {
    return MakeError(ErrorCode::kInvalidData,
                     "[open_tokenizer] {}: 'added_tokens': expected an array, got {}", context.what,
                     json->type_name());
  }
  TextScratch scratch;
  for (const Json& entry : *json) {
    UNSWIFT_ASSIGN_OR_RETURN(AddedToken token, ReadToken(entry, context));
    if (token.content.empty()) continue;  // matches nowhere
    token.surface = token.content;
    if (token.normalized && normalizer != nullptr) {
      UNSWIFT_RETURN_IF_ERROR(normalizer->Normalize(token.surface, scratch));
    }
    UNSWIFT_RETURN_IF_ERROR(CheckLength(token.surface, context));
    UNSWIFT_RETURN_IF_ERROR(tokens.Add(std::move(token), vocabulary, context));
  }
  tokens.IndexSurfaces();
  return tokens;
}

Result<> AddedTokens::Add(AddedToken token, const Vocabulary& vocabulary,
                          const PartContext& context) {
  total_bytes_ += token.surface.size();
  if (total_bytes_ > kMaxTotalBytes) {
    return MakeError(ErrorCode::kInvalidData,
                     "[open_tokenizer] {}: 'added_tokens': expected at most {} bytes, got more",
                     context.what, kMaxTotalBytes);
  }
  const std::optional<int32_t> vocabulary_id = vocabulary.Find(token.content);
  if (vocabulary_id && *vocabulary_id != token.id) {
    return MakeError(ErrorCode::kInvalidData,
                     "[open_tokenizer] {}: added token '{}': expected id {} as in 'vocab', got {}",
                     context.what, Shorten(token.content), *vocabulary_id, token.id);
  }
  const std::string* holder = vocabulary.Token(token.id);
  if (const AddedToken* other = FindId(token.id); other != nullptr) holder = &other->content;
  const bool is_new_content = by_content_.count(token.content) == 0;
  if ((holder != nullptr && *holder != token.content) || !is_new_content) {
    return MakeError(ErrorCode::kInvalidData,
                     "[open_tokenizer] {}: added token '{}': expected an id of its own, got {}, "
                     "which '{}' has{}",
                     context.what, Shorten(token.content), token.id,
                     Shorten(holder == nullptr ? token.content : *holder),
                     is_new_content ? "" : " (listed twice)");
  }
  const auto index = static_cast<int32_t>(tokens_.size());
  by_id_[token.id] = index;
  by_content_[token.content] = index;
  size_ = std::max(size_, token.id + 1);
  tokens_.push_back(std::move(token));
  return {};
}

void AddedTokens::IndexSurfaces() {
  // Of two tokens with one surface, a special one wins, then the first.
  for (const bool special : {true, false}) {
    for (size_t i = 0; i < tokens_.size(); ++i) {
      const AddedToken& token = tokens_[i];
      if (token.special != special || token.surface.empty()) continue;
      (token.normalized ? normalized_ : raw_).Insert(token.surface, static_cast<int32_t>(i));
    }
  }
}

void AddedTokens::CutRaw(std::string_view text, std::vector<AddedTokenSpan>& spans) const {
  Cut(raw_, text, spans);
}

void AddedTokens::CutNormalized(std::string_view text, std::vector<AddedTokenSpan>& spans) const {
  Cut(normalized_, text, spans);
}

void AddedTokens::Cut(const StringFinder& finder, std::string_view text,
                      std::vector<AddedTokenSpan>& spans) const {
  size_t done = 0;  // up to here the spans cover the text
  size_t from = 0;
  while (!finder.empty()) {
    const std::optional<StringFinder::Match> match = finder.FindNext(text, from);
    if (!match) break;
    from = match->span.end;
    const AddedToken& token = tokens_[match->value];
    ByteSpan span = match->span;
    // A token refused here still hides those inside it, as in the reference implementation.
    if (token.single_word && !StandsAlone(text, span)) continue;
    if (token.lstrip) span.begin = std::max(SpaceBegin(text, span.begin), done);
    if (token.rstrip) span.end = SpaceEnd(text, span.end);
    // Nothing is left where the token before has taken all of it as white space.
    if (span.begin >= span.end) continue;
    if (done < span.begin) spans.push_back({nullptr, {done, span.begin}});
    spans.push_back({&token, span});
    done = span.end;
  }
  if (done < text.size()) spans.push_back({nullptr, {done, text.size()}});
}

const AddedToken* AddedTokens::FindId(int32_t id) const {
  const auto entry = by_id_.find(id);
  return entry == by_id_.end() ? nullptr : &tokens_[entry->second];
}

const AddedToken* AddedTokens::FindContent(std::string_view content) const {
  const auto entry = by_content_.find(std::string(content));
  return entry == by_content_.end() ? nullptr : &tokens_[entry->second];
}

}  // namespace unswift
