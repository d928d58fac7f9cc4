// Tokens -> expressions: the base of the parser of templates.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "unswift/jinja/budget.h"
#include "unswift/jinja/lexer.h"
#include "unswift/jinja/syntax.h"

namespace unswift::jinja {

#define UNSWIFT_JINJA_LEVEL() \
  const Level level(depth_);  \
  if (depth_ > Limits::kMaxSyntaxDepth) return Fail("nested too deeply")

/// Tokens -> expressions, by precedence: conditional, or, and, not, comparison, + -, ~, * / // %,
/// **, unary, postfix. Source: Jinja's documentation, "Expressions".
class ExpressionParser {
 public:
  explicit ExpressionParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

 protected:
  using Parsed = Result<ExprPtr>;

  const Token& Current() const { return tokens_[at_]; }
  const Token& Following() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  void Skip() { at_ = std::min(at_ + 1, tokens_.size() - 1); }
  bool SkipOperator(std::string_view symbol) { return SkipIf(Current().IsOperator(symbol)); }
  bool SkipName(std::string_view name) { return SkipIf(Current().IsName(name)); }
  bool SkipIf(bool condition) {
    if (condition) Skip();
    return condition;
  }
  tl::unexpected<Error> Fail(std::string_view why, ErrorCode code = ErrorCode::kInvalidData) const {
    return MakeError(code, "line {}: {}", Current().line, why);
  }
  tl::unexpected<Error> Expected(std::string_view what) const {
    return Fail(fmt::format("expected {}, got {}", what, Describe(Current())));
  }
  static std::string Describe(const Token& token);
  Result<> ExpectOperator(std::string_view symbol) {
    if (SkipOperator(symbol)) return {};
    return Expected(fmt::format("'{}'", symbol));
  }
  Result<std::string> ExpectName() {
    if (Current().kind != TokenKind::kName) return Expected("a name");
    std::string name = Current().text;
    Skip();
    return name;
  }

  /// Adds up the depth of the parts. Chains are parsed in loops but evaluated by recursion.
  Parsed Make(Expr expr) const {
    int deepest = 0;
    for (const ExprPtr& item : expr.items) {
      if (item != nullptr) deepest = std::max(deepest, item->depth);
    }
    for (const Argument& argument : expr.named) {
      deepest = std::max(deepest, argument.value->depth);
    }
    expr.depth = deepest + 1;
    if (expr.depth > Limits::kMaxSyntaxDepth) return Fail("nested too deeply");
    return std::make_unique<Expr>(std::move(expr));
  }
  template <typename... Items>
  Parsed MakeNode(ExprKind kind, int line, std::string text, Items... items) const {
    Expr expr{.kind = kind, .line = line, .text = std::move(text)};
    (expr.items.push_back(std::move(items)), ...);
    return Make(std::move(expr));
  }
  Parsed Constant(Value value) const {
    return Make({.kind = ExprKind::kConstant, .line = Current().line, .value = std::move(value)});
  }

  /// One expression, or several with commas between them. `conditional`: "a if b else c" may
  /// stand here. Ends before a tag's end, ")" or one of `ends`.
  Parsed ParseTuple(bool conditional, std::initializer_list<std::string_view> ends = {},
                    bool parentheses = false);
  Parsed ParseExpression(bool conditional = true);
  Parsed ParseBinary(std::initializer_list<std::string_view> symbols,
                     Parsed (ExpressionParser::*operand)());
  Parsed ParseOr();
  Parsed ParseAnd();
  Parsed ParseNot();
  Parsed ParseComparison();
  Parsed ParseSum() { return ParseBinary({"+", "-"}, &ExpressionParser::ParseConcatenation); }
  Parsed ParseConcatenation();
  Parsed ParseProduct() {
    return ParseBinary({"*", "/", "//", "%"}, &ExpressionParser::ParsePower);
  }
  Parsed ParsePower() { return ParseBinary({"**"}, &ExpressionParser::ParseFilteredUnary); }
  Parsed ParseFilteredUnary() { return ParseUnary(true); }
  Parsed ParseUnary(bool with_filters);
  Parsed ParsePrimary();
  Parsed ParseNameOrConstant();
  Parsed ParseNumber();
  Parsed ParseList();
  Parsed ParseDict();
  Parsed ParsePostfix(ExprPtr node);
  Parsed ParseFiltersAndTests(ExprPtr node);
  Parsed ParseCall(ExprPtr callee);
  Parsed ParseFilter(ExprPtr node);
  Parsed ParseTest(ExprPtr node);
  Parsed ParseDot(ExprPtr node);
  Parsed ParseSubscript(ExprPtr node);
  /// "(" arguments ")": positional ones go to call.items, named ones to call.named.
  Result<> ParseArguments(Expr& call);

  const std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace unswift::jinja
