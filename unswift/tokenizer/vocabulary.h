// A model's vocabulary: tokens <-> ids.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "unswift/tokenizer/part.h"

namespace unswift {

/// Ids must stay below this; it bounds what a hostile file can make us allocate.
inline constexpr int64_t kMaxVocabSize = int64_t{1} << 22;

/// The integer at `value` as an id. Errors: kInvalidData naming `token`.
Result<int32_t> ParseTokenId(const Json& value, std::string_view token, const PartContext& context);

class Vocabulary {
 public:
  /// {"token": id, ...}. Errors: kInvalidData for an id out of range or held by two tokens.
  static Result<Vocabulary> FromJson(const Json& json, const PartContext& context);

  std::optional<int32_t> Find(std::string_view token) const {
    const auto entry = ids_.find(token);
    return entry == ids_.end() ? std::nullopt : std::optional(entry->second);
  }
  /// Null for an id without a token.
  const std::string* Token(int32_t id) const {
    return id < 0 || id >= size() ? nullptr : tokens_[id];
  }
  /// One past the largest id.
  int32_t size() const { return static_cast<int32_t>(tokens_.size()); }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::unordered_map<std::string, int32_t, Hash, std::equal_to<>> ids_;
  std::vector<const std::string*> tokens_;  // keys of ids_, which never move
};

}  // namespace unswift
