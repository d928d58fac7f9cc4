// Patterns of a tokenizer.json: a fixed string or a regular expression (PCRE2, JIT-compiled).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "unswift/base/result.h"
#include "unswift/tokenizer/part.h"

namespace unswift {

/// Bytes [begin, end) of a text.
struct ByteSpan {
  size_t begin = 0;
  size_t end = 0;
};

/// What one thread needs to rewrite and cut a text: memory for matching, and the bounds that keep a
/// hostile tokenizer.json from making a small text huge.
class TextScratch {
 public:
  TextScratch();
  ~TextScratch();
  TextScratch(TextScratch&&) noexcept;

  /// Sets how large rewritten text may become, from the size of the input.
  void SetInputSize(size_t input_bytes);
  /// Errors: kInvalidData when a rewritten text of this size is too large.
  Result<> CheckTextSize(size_t bytes) const;

 private:
  friend class Regex;
  struct Data;
  std::unique_ptr<Data> data_;
  size_t max_text_bytes_ = 0;
};

/// A compiled pattern; immutable.
class Regex {
 public:
  /// Errors: kUnsupported (a construct, or one that PCRE2 does not know).
  static Result<Regex> Compile(std::string_view pattern, std::string_view what);
  Regex(Regex&&) noexcept;
  ~Regex();

  /// Appends all matches in valid UTF-8, from left to right, without overlap; an empty match at the
  /// end of the one before does not count. Errors: kInvalidData when one match costs too much
  /// (steps are limited to a million plus 32 per byte of text).
  Result<> FindAll(std::string_view text, TextScratch& scratch,
                   std::vector<ByteSpan>& matches) const;

 private:
  struct Code;
  explicit Regex(std::unique_ptr<const Code> code);
  std::unique_ptr<const Code> code_;
};

/// {"String": "..."} or {"Regex": "..."}.
class Pattern {
 public:
  virtual ~Pattern() = default;
  static Result<std::unique_ptr<Pattern>> FromJson(const Json& part, std::string_view key,
                                                   const PartContext& context);
  static std::unique_ptr<Pattern> FromRegex(Regex regex);

  virtual Result<> FindAll(std::string_view text, TextScratch& scratch,
                           std::vector<ByteSpan>& matches) const = 0;
};

/// The pattern of {"String": ...} alone; kUnsupported for a Regex.
Result<std::string> StringPattern(const Json& part, std::string_view key,
                                  const PartContext& context);

}  // namespace unswift
