// Hand-made tokenizer.json documents.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "unswift/io/json.h"
#include "unswift/tokenizer/tokenizer.h"

namespace unswift {

/// {"token": position, ...}.
inline Json VocabOf(const std::vector<std::string>& tokens) {
  Json vocab = Json::object();
  for (size_t i = 0; i < tokens.size(); ++i) vocab[tokens[i]] = i;
  return vocab;
}

/// A document with a BPE model and no other part; ids are positions in `tokens`.
inline Json BpeDocument(const std::vector<std::string>& tokens,
                        const std::vector<std::string>& merges = {}) {
  return {{"version", "1.0"},
          {"model", {{"type", "BPE"}, {"vocab", VocabOf(tokens)}, {"merges", merges}}}};
}

inline Json AddedTokenJson(int id, const std::string& content, const Json& flags = Json::object()) {
  Json token = {{"id", id}, {"content", content}, {"normalized", false}, {"special", false}};
  token.update(flags);
  return token;
}

inline Tokenizer MustMake(const Json& document) {
  Result<Tokenizer> tokenizer = Tokenizer::FromJson(document, "tiny.json");
  if (!tokenizer) throw std::runtime_error(tokenizer.error().message);
  return *std::move(tokenizer);
}

inline std::vector<int32_t> MustEncode(const Tokenizer& tokenizer, std::string_view text,
                                       bool add_special_tokens = false) {
  Result<std::vector<int32_t>> ids = tokenizer.Encode(text, add_special_tokens);
  if (!ids) throw std::runtime_error(ids.error().message);
  return *std::move(ids);
}

/// Tokens of a text, for readable expectations.
inline std::vector<std::string> TokensOf(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::string> tokens;
  for (const int32_t id : MustEncode(tokenizer, text)) tokens.push_back(*tokenizer.IdToToken(id));
  return tokens;
}

inline std::string StreamDecode(const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
                                bool skip_special_tokens) {
  StreamDecoder stream(tokenizer, skip_special_tokens);
  std::string text;
  for (const int32_t id : ids) text += stream.Append(id);
  return text + stream.Finish();
}

}  // namespace unswift
