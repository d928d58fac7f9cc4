#include "unswift/tokenizer/byte_tokens.h"

namespace unswift {

Result<ByteTokens> ByteTokens::FromJson(const Json& model, const Vocabulary& vocabulary,
                                        const PartContext& context) {
  UNSWIFT_ASSIGN_OR_RETURN(const bool byte_fallback,
                           PartFieldOr<bool>(model, "byte_fallback", false, context));
  ByteTokens tokens;
  for (int byte = 0; byte_fallback && byte < 256; ++byte) {
    tokens.ids_[byte] = vocabulary.Find(fmt::format("<0x{:02X}>", byte)).value_or(kNone);
  }
  return tokens;
}

}  // namespace unswift
