// Template text -> tokens, with the white space rules that transformers sets (trim_blocks and
// lstrip_blocks). Source: Jinja's documentation, "Whitespace Control".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "unswift/base/result.h"

namespace unswift::jinja {

enum class TokenKind {
  kData,           // text between tags
  kVariableBegin,  // {{
  kVariableEnd,    // }}
  kBlockBegin,     // {%
  kBlockEnd,       // %}
  kName,
  kString,    // unescaped
  kInteger,   // decimal digits
  kFloat,     // as written
  kOperator,  // + - * / // % ** ~ | . , : = == != < <= > >= ( ) [ ] { }
  kEnd,
};

struct Token {
  TokenKind kind;
  std::string text;
  int line;

  bool Is(TokenKind of, std::string_view with) const { return kind == of && text == with; }
  bool IsName(std::string_view name) const { return Is(TokenKind::kName, name); }
  bool IsOperator(std::string_view symbol) const { return Is(TokenKind::kOperator, symbol); }
};

/// The last token is kEnd. `source` is UTF-8. Errors: kInvalidData, opening with "line N: ".
Result<std::vector<Token>> Tokenize(std::string_view source);

}  // namespace unswift::jinja
