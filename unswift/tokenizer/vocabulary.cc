#include "unswift/tokenizer/vocabulary.h"

#include "unswift/io/json.h"
#include "unswift/io/text.h"
#include "unswift/tokenizer/utf8.h"

namespace unswift {

Result<int32_t> ParseTokenId(const Json& value, std::string_view token,
                             const PartContext& context) {
  // Documents made by a program hold signed integers, parsed ones unsigned.
  const bool is_beyond = value.is_number_unsigned() && value.get<uint64_t>() >= kMaxVocabSize;
  const int64_t id = value.is_number_integer() && !is_beyond ? value.get<int64_t>() : -1;
  if (id < 0 || id >= kMaxVocabSize) {
    return MakeError(
        ErrorCode::kInvalidData,
        "[open_tokenizer] {}: id of token '{}': expected an integer in [0, {}), got {}",
        context.what, Shorten(token), kMaxVocabSize,
        value.is_number() ? value.dump() : value.type_name());
  }
  return static_cast<int32_t>(id);
}

Result<Vocabulary> Vocabulary::FromJson(const Json& json, const PartContext& context) {
  if (!json.is_object()) {
    return MakeError(ErrorCode::kInvalidData,
                     "[open_tokenizer] {}: 'vocab': expected an object, got {}", context.what,
                     json.type_name());
  }
  Vocabulary vocabulary;
  vocabulary.ids_.reserve(json.size());
  vocabulary.tokens_.reserve(json.size());
  for (const auto& [token, value] : json.items()) {
    UNSWIFT_ASSIGN_OR_RETURN(const int32_t id, ParseTokenId(value, token, context));
    if (!IsValidUtf8(token)) {
      return MakeError(ErrorCode::kInvalidData,
                       "[open_tokenizer] {}: 'vocab': expected UTF-8, got other bytes for id {}",
                       context.what, id);
    }
    if (id >= vocabulary.size()) vocabulary.tokens_.resize(id + 1, nullptr);
    const std::string& key = vocabulary.ids_.emplace(token, id).first->first;
    if (const std::string* other = vocabulary.tokens_[id]; other != nullptr) {
      return MakeError(ErrorCode::kInvalidData,
                       "[open_tokenizer] {}: 'vocab': expected one token with id {}, got '{}' and "
                       "'{}'",
                       context.what, id, Shorten(*other), Shorten(token));
    }
    vocabulary.tokens_[id] = &key;
  }
  return vocabulary;
}

}  // namespace unswift
