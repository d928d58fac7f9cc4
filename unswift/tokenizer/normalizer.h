// Normalizers: what happens to the text before it is cut.
#pragma once

#include <memory>
#include <string>

#include "unswift/tokenizer/part.h"
#include "unswift/tokenizer/regex.h"

namespace unswift {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  /// Rewrites valid UTF-8 in place. Errors: kInvalidData when a pattern costs or the text
  /// grows too much.
  virtual Result<> Normalize(std::string& text, TextScratch& scratch) const = 0;

  /// Errors: kInvalidData, kUnsupported naming the type.
  static Result<std::unique_ptr<Normalizer>> FromJson(const Json& json, const PartContext& context);
};

}  // namespace unswift
