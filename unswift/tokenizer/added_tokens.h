// The "added_tokens" of a tokenizer.json: tokens found in the text before the model sees it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "unswift/tokenizer/normalizer.h"
#include "unswift/tokenizer/regex.h"
#include "unswift/tokenizer/vocabulary.h"

namespace unswift {

struct AddedToken {
  int32_t id = 0;
  std::string content;  ///< as the file writes it
  /// As it is searched for and decoded: the content, after the normalizer when `normalized`.
  std::string surface;
  bool special = false;
  bool normalized = false;   ///< searched for in the normalized text
  bool single_word = false;  ///< only when no word character is beside it
  bool lstrip = false;       ///< takes the white space before it
  bool rstrip = false;       ///< takes the white space after it
};

/// A stretch of text: an added token, or text in between.
struct AddedTokenSpan {
  const AddedToken* token = nullptr;  // null: text
  ByteSpan span;
};

/// Finds the leftmost of several strings, of several there the longest.
class StringFinder {
 public:
  StringFinder();
  /// `text` is not empty; a text inserted before keeps its first value.
  void Insert(std::string_view text, int32_t value);
  bool empty() const { return nodes_ == 1; }

  struct Match {
    ByteSpan span;
    int32_t value;
  };
  /// The first match that begins at or after `from`. Cost per position: the longest inserted text
  /// at worst, a table look-up when no text starts with the byte there.
  std::optional<Match> FindNext(std::string_view text, size_t from) const;

 private:
  std::optional<Match> MatchAt(std::string_view text, size_t at) const;
  static uint64_t EdgeKey(int32_t node, char byte) {
    return static_cast<uint64_t>(node) << 8 | static_cast<uint8_t>(byte);
  }
  std::vector<bool> first_bytes_;
  std::unordered_map<uint64_t, int32_t> edges_;  // EdgeKey(node, byte) -> node; 0 is the root
  std::unordered_map<int32_t, int32_t> values_;  // node -> value
  int32_t nodes_ = 1;
};

class AddedTokens {
 public:
  /// Reads the array (null: none). A token of the model's vocabulary must keep its id. `normalizer`
  /// may be null. Errors: kInvalidData (bad or duplicate id, duplicate content, contradiction).
  static Result<AddedTokens> FromJson(const Json* json, const Normalizer* normalizer,
                                      const Vocabulary& vocabulary, const PartContext& context);

  AddedTokens(AddedTokens&&) noexcept = default;
  AddedTokens& operator=(AddedTokens&&) noexcept = default;

  /// Cuts raw text at the tokens with `normalized` false, or normalized text at the others. Appends
  /// spans that cover `text` in order; none is empty.
  void CutRaw(std::string_view text, std::vector<AddedTokenSpan>& spans) const;
  void CutNormalized(std::string_view text, std::vector<AddedTokenSpan>& spans) const;

  /// Null when there is none.
  const AddedToken* FindId(int32_t id) const;
  const AddedToken* FindContent(std::string_view content) const;
  /// One past the largest id; 0 when there is no added token.
  int32_t size() const { return size_; }

 private:
  AddedTokens() = default;
  Result<> Add(AddedToken token, const Vocabulary& vocabulary, const PartContext& context);
  void IndexSurfaces();
  void Cut(const StringFinder& finder, std::string_view text,
           std::vector<AddedTokenSpan>& spans) const;

  std::vector<AddedToken> tokens_;
  std::unordered_map<int32_t, int32_t> by_id_;           // -> index in tokens_
  std::unordered_map<std::string, int32_t> by_content_;  // -> index in tokens_
  StringFinder raw_;
  StringFinder normalized_;
  int32_t size_ = 0;
  size_t total_bytes_ = 0;  // of all surfaces
};

}  // namespace unswift
