// The tokens that stand for single bytes where a model has no token for a character.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include "unswift/tokenizer/vocabulary.h"

namespace unswift {

/// "<0x00>" to "<0xFF>", as far as the vocabulary has them and the model's "byte_fallback" is set.
class ByteTokens {
 public:
  static constexpr int32_t kNone = -1;

  /// All missing.
  ByteTokens() { ids_.fill(kNone); }
  /// Errors: kInvalidData ("byte_fallback").
  static Result<ByteTokens> FromJson(const Json& model, const Vocabulary& vocabulary,
                                     const PartContext& context);

  int32_t Id(char byte) const { return ids_[static_cast<uint8_t>(byte)]; }
  /// There is a token for each byte.
  bool HasAll(std::string_view bytes) const {
    return std::all_of(bytes.begin(), bytes.end(), [&](char byte) { return Id(byte) != kNone; });
  }
  /// By byte; kNone for missing ones.
  const std::array<int32_t, 256>& ids() const { return ids_; }

 private:
  std::array<int32_t, 256> ids_;
};

}  // namespace unswift
