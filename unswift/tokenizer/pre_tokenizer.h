// Pre-tokenizers: how a text is cut into the words that the model sees one by one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "unswift/tokenizer/part.h"
#include "unswift/tokenizer/regex.h"

namespace unswift {

/// A stretch of text on its way to the model. Pieces are not empty, sorted and do not overlap.
struct PreTokenizedText {
  std::string text;  ///< valid UTF-8
  std::vector<ByteSpan> pieces;
  bool first_at_start = false;  ///< pieces[0] begins where the whole input begins
};

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  /// Cuts every piece further; may rewrite the text. Errors: kInvalidData when a pattern costs or
  /// the text grows too much.
  virtual Result<> Apply(PreTokenizedText& input, TextScratch& scratch) const = 0;

  /// Errors: kInvalidData, kUnsupported naming the type.
  static Result<std::unique_ptr<PreTokenizer>> FromJson(const Json& json,
                                                        const PartContext& context);
};

/// The character that stands for a byte in byte-level vocabularies (GPT-2's bytes_to_unicode).
char32_t ByteLevelCharacter(uint8_t byte);

}  // namespace unswift
