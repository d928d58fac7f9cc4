#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <initializer_list>

#include "unswift/jinja/lexer.h"
#include "unswift/jinja/syntax.h"

namespace unswift::jinja {
namespace {

constexpr std::array<std::string_view, 6> kComparisons = {"==", "!=", "<", "<=", ">", ">="};

/// Counts the nesting of the parser's own calls.
class Level {
 public:
  explicit Level(int& depth) : depth_(depth) { ++depth_; }
  ~Level() { --depth_; }

 private:
  int& depth_;
};

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
  Parsed ParseFilter(ExprPtr node);
  Parsed ParseTest(ExprPtr node);
  Parsed ParseDot(ExprPtr node);
  Parsed ParseSubscript(ExprPtr node);
  Result<> ParseArguments(Expr& call);

  const std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
};

std::string ExpressionParser::Describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kData:
    case TokenKind::kVariableBegin:
    case TokenKind::kBlockBegin:
      return "text";
    case TokenKind::kVariableEnd:
      return "'}}'";
    case TokenKind::kBlockEnd:
      return "'%}'";
    case TokenKind::kString:
      return "a string";
    case TokenKind::kEnd:
      return "the end";
    default:
      return fmt::format("'{}'", token.text.substr(0, 40));
  }
}

ExpressionParser::Parsed ExpressionParser::ParseTuple(bool conditional,
                                                      std::initializer_list<std::string_view> ends,
                                                      bool parentheses) {
  const int line = Current().line;
  const auto at_end = [&] {
    const Token& token = Current();
    return token.kind == TokenKind::kVariableEnd || token.kind == TokenKind::kBlockEnd ||
           token.kind == TokenKind::kEnd || token.IsOperator(")") ||
           (token.kind == TokenKind::kName &&
            std::find(ends.begin(), ends.end(), token.text) != ends.end());
  };
  Expr tuple{.kind = ExprKind::kTuple, .line = line};
  bool comma = false;
  while (!at_end()) {
    UNSWIFT_ASSIGN_OR_RETURN(ExprPtr item, ParseExpression(conditional));
    tuple.items.push_back(std::move(item));
    if (!SkipOperator(",")) break;
    comma = true;
  }
  if (!comma && tuple.items.size() == 1) return std::move(tuple.items[0]);
  if (tuple.items.empty() && !parentheses) return Expected("an expression");
  return Make(std::move(tuple));
}

ExpressionParser::Parsed ExpressionParser::ParseExpression(bool conditional) {
  UNSWIFT_JINJA_LEVEL();
  UNSWIFT_ASSIGN_OR_RETURN(ExprPtr node, ParseOr());
  while (conditional && Current().IsName("if")) {
    const int line = Current().line;
    Skip();
    UNSWIFT_ASSIGN_OR_RETURN(ExprPtr condition, ParseOr());
    ExprPtr otherwise;
    if (SkipName("else")) {
      UNSWIFT_ASSIGN_OR_RETURN(otherwise, ParseExpression());
    }
    UNSWIFT_ASSIGN_OR_RETURN(node, MakeNode(ExprKind::kConditional, line, "", std::move(node),
                                            std::move(condition), std::move(otherwise)));
  }
  return node;
}

ExpressionParser::Parsed ExpressionParser::ParseBinary(
    std::initializer_list<std::string_view> symbols, Parsed (ExpressionParser::*operand)()) {
  UNSWIFT_ASSIGN_OR_RETURN(ExprPtr node, (this->*operand)());
  while (Current().kind == TokenKind::kOperator &&
         std::find(symbols.begin(), symbols.end(), Current().text) != symbols.end()) {
    const Token& symbol = Current();
    Skip();
    UNSWIFT_ASSIGN_OR_RETURN(ExprPtr right, (this->*operand)());
    UNSWIFT_ASSIGN_OR_RETURN(node, MakeNode(ExprKind::kBinary, symbol.line, symbol.text,
                                            std::move(node), std::move(right)));
  }
  return node;
}

ExpressionParser::Parsed ExpressionParser::ParseOr() {
  UNSWIFT_ASSIGN_OR_RETURN(ExprPtr node, ParseAnd());
  while (Current().IsName("or")) {
    const int line = Current().line;
    Skip();
    UNSWIFT_ASSIGN_OR_RETURN(ExprPtr right, ParseAnd());
    UNSWIFT_ASSIGN_OR_RETURN(node,
                             MakeNode(ExprKind::kOr, line, "", std::move(node), std::move(right)));
  }
  return node;
}

ExpressionParser::Parsed ExpressionParser::ParseAnd() {
  UNSWIFT_ASSIGN_OR_RETURN(ExprPtr node, ParseNot());
  while (Current().IsName("and")) {
    const int line = Current().line;
    Skip();
    UNSWIFT_ASSIGN_OR_RETURN(ExprPtr right, ParseNot());
    UNSWIFT_ASSIGN_OR_RETURN(node,
                             MakeNode(ExprKind::kAnd, line, "", std::move(node), std::move(right)));
  }
  return node;
}

ExpressionParser::Parsed ExpressionParser::ParseNot() {
  UNSWIFT_JINJA_LEVEL();
  if (!Current().IsName("not")) return ParseComparison();
  const int line = Current().line;
  Skip();
  UNSWIFT_ASSIGN_OR_RETURN(ExprPtr node, ParseNot());
  return MakeNode(ExprKind::kUnary, line, "not", std::move(node));
}

ExpressionParser::Parsed ExpressionParser::ParseComparison() {
  Expr compare{.kind = ExprKind::kCompare, .line = Current().line};
  UNSWIFT_ASSIGN_OR_RETURN(ExprPtr first, ParseSum());
  compare.items.push_back(std::move(first));
  while (true) {
    const Token& token = Current();
    if (token.kind == TokenKind::kOperator &&
        std::find(kComparisons.begin(), kComparisons.end(), token.text) != kComparisons.end()) {
      compare.symbols.push_back(token.text);
      Skip();
    } else if (token.IsName("in")) {
      compare.symbols.push_back("in");
      Skip();
    } else if (token.IsName("not") && Following().IsName("in")) {
      compare.symbols.push_back("not in");
      Skip();
      Skip();
    } else {
      break;
    }
    UNSWIFT_ASSIGN_OR_RETURN(ExprPtr right, ParseSum());
    compare.items.push_back(std::move(right));
  }
  if (compare.symbols.empty()) return std::move(compare.items[0]);
  return Make(std::move(compare));
}

ExpressionParser::Parsed ExpressionParser::ParseConcatenation() {
  Expr node{.kind = ExprKind::kConcatenate, .line = Current().line};
  do {
    UNSWIFT_ASSIGN_OR_RETURN(ExprPtr item, ParseProduct());
    node.items.push_back(std::move(item));
  } while (SkipOperator("~"));
  if (node.items.size() == 1) return std::move(node.items[0]);
  return Make(std::move(node));
}

ExpressionParser::Parsed ExpressionParser::ParseUnary(bool with_filters) {
  UNSWIFT_JINJA_LEVEL();
  const Token& token = Current();
  ExprPtr node;
  if (token.IsOperator("-") || token.IsOperator("+")) {
    Skip();
    UNSWIFT_ASSIGN_OR_RETURN(node, ParseUnary(false));
    UNSWIFT_ASSIGN_OR_RETURN(node,
                             MakeNode(ExprKind::kUnary, token.line, token.text, std::move(node)));
  } else {
    UNSWIFT_ASSIGN_OR_RETURN(node, ParsePrimary());
  }
  UNSWIFT_ASSIGN_OR_RETURN(node, ParsePostfix(std::move(node)));
  if (!with_filters) return node;
  return ParseFiltersAndTests(std::move(node));
}

ExpressionParser::Parsed ExpressionParser::ParsePrimary() {
  switch (Current().kind) {
    case TokenKind::kName:
      return ParseNameOrConstant();
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return ParseNumber();
    case TokenKind::kString: {
      std::string text;
      for (; Current().kind == TokenKind::kString; Skip()) text += Current().text;
      return Constant(Value(std::move(text)));
    }
    default:
      break;
  }
  if (SkipOperator("(")) {
    UNSWIFT_ASSIGN_OR_RETURN(ExprPtr node, ParseTuple(true, {}, /*parentheses=*/true));
    UNSWIFT_RETURN_IF_ERROR(ExpectOperator(")"));
    return node;
  }
  if (SkipOperator("[")) return ParseList();
  if (SkipOperator("{")) return ParseDict();
  return Expected("an expression");
}

ExpressionParser::Parsed ExpressionParser::ParseNameOrConstant() {
  const Token& token = Current();
  Skip();
  if (token.text == "true" || token.text == "True") return Constant(Value(true));
  if (token.text == "false" || token.text == "False") return Constant(Value(false));
  if (token.text == "none" || token.text == "None") return Constant(Value());
  return MakeNode(ExprKind::kName, token.line, token.text);
}

ExpressionParser::Parsed ExpressionParser::ParseNumber() {
  const Token& token = Current();
  if (token.kind == TokenKind::kFloat) {
    Skip();
    return Constant(Value(std::strtod(token.text.c_str(), nullptr)));
  }
  int64_t number = 0;
  const char* const end = token.text.data() + token.text.size();
  if (std::from_chars(token.text.data(), end, number).ec != std::errc()) {
    return Expected("an integer below 2^63");
  }
  Skip();
  return Constant(Value(number));
}

ExpressionParser::Parsed ExpressionParser::ParseList() {
  Expr list{.kind = ExprKind::kList, .line = Current().line};
  while (!SkipOperator("]")) {
    if (!list.items.empty()) {
      UNSWIFT_RETURN_IF_ERROR(ExpectOperator(","));
      if (SkipOperator("]")) break;
    }
    UNSWIFT_ASSIGN_OR_RETURN(ExprPtr item, ParseExpression());
    list.items.push_back(std::move(item));
  }
  return Make(std::move(list));
}

ExpressionParser::Parsed ExpressionParser::ParseDict() {
  Expr dict{.kind = ExprKind::kDict, .line = Current().line};
  while (!SkipOperator("}")) {
    if (!dict.items.empty()) {
      UNSWIFT_RETURN_IF_ERROR(ExpectOperator(","));
      if (SkipOperator("}")) break;
    }
    UNSWIFT_ASSIGN_OR_RETURN(ExprPtr key, ParseExpression());
    UNSWIFT_RETURN_IF_ERROR(ExpectOperator(":"));
    UNSWIFT_ASSIGN_OR_RETURN(ExprPtr value, ParseExpression());
    dict.items.push_back(std::move(key));
    dict.items.push_back(std::move(value));
  }
  return Make(std::move(dict));
}

ExpressionParser::Parsed ExpressionParser::ParsePostfix(ExprPtr node) {
  while (true) {
    const Token& token = Current();
    if (SkipOperator(".")) {
      UNSWIFT_ASSIGN_OR_RETURN(node, ParseDot(std::move(node)));
    } else if (SkipOperator("[")) {
      UNSWIFT_ASSIGN_OR_RETURN(node, ParseSubscript(std::move(node)));
    } else if (token.IsOperator("(")) {
      Expr call{.kind = ExprKind::kCall, .line = token.line};
      call.items.push_back(std::move(node));
      UNSWIFT_RETURN_IF_ERROR(ParseArguments(call));
      UNSWIFT_ASSIGN_OR_RETURN(node, Make(std::move(call)));
    } else {
      return node;
    }
  }
}

ExpressionParser::Parsed ExpressionParser::ParseFiltersAndTests(ExprPtr node) {
  while (true) {
    const Token& token = Current();
    if (SkipOperator("|")) {
      UNSWIFT_ASSIGN_OR_RETURN(node, ParseFilter(std::move(node)));
    } else if (SkipName("is")) {
      UNSWIFT_ASSIGN_OR_RETURN(node, ParseTest(std::move(node)));
    } else if (token.IsOperator("(")) {
      Expr call{.kind = ExprKind::kCall, .line = token.line};
      call.items.push_back(std::move(node));
      UNSWIFT_RETURN_IF_ERROR(ParseArguments(call));
      UNSWIFT_ASSIGN_OR_RETURN(node, Make(std::move(call)));
    } else {
      return node;
    }
  }
}

ExpressionParser::Parsed ExpressionParser::ParseFilter(ExprPtr node) {
  Expr filter{.kind = ExprKind::kFilter, .line = Current().line};
  UNSWIFT_ASSIGN_OR_RETURN(filter.text, ExpectName());
  filter.items.push_back(std::move(node));
  if (Current().IsOperator("(")) UNSWIFT_RETURN_IF_ERROR(ParseArguments(filter));
  return Make(std::move(filter));
}

ExpressionParser::Parsed ExpressionParser::ParseTest(ExprPtr node) {
  const bool negated = SkipName("not");
  Expr test{.kind = ExprKind::kTest, .line = Current().line};
  UNSWIFT_ASSIGN_OR_RETURN(test.text, ExpectName());
  test.items.push_back(std::move(node));
  const Token& next = Current();
  const bool ends = next.IsName("else") || next.IsName("or") || next.IsName("and") ||
                    next.IsName("if") || next.IsName("in") || next.IsName("not");
  if (next.IsOperator("(")) {
    UNSWIFT_RETURN_IF_ERROR(ParseArguments(test));
  } else if (next.IsName("is")) {
    return Fail("tests with 'is' do not chain");
  } else if ((next.kind == TokenKind::kName && !ends) || next.kind == TokenKind::kString ||
             next.kind == TokenKind::kInteger || next.kind == TokenKind::kFloat ||
             next.IsOperator("[") || next.IsOperator("{")) {
    UNSWIFT_ASSIGN_OR_RETURN(ExprPtr argument, ParsePrimary());
    UNSWIFT_ASSIGN_OR_RETURN(argument, ParsePostfix(std::move(argument)));
    test.items.push_back(std::move(argument));
  }
  const int line = test.line;
  Parsed parsed = Make(std::move(test));
  if (!parsed || !negated) return parsed;
  return MakeNode(ExprKind::kUnary, line, "not", *std::move(parsed));
}

ExpressionParser::Parsed ExpressionParser::ParseDot(ExprPtr node) {
  const int line = Current().line;
  if (Current().kind == TokenKind::kInteger) {
    UNSWIFT_ASSIGN_OR_RETURN(ExprPtr index, ParseNumber());
    return MakeNode(ExprKind::kItem, line, "", std::move(node), std::move(index));
  }
  UNSWIFT_ASSIGN_OR_RETURN(std::string name, ExpectName());
  return MakeNode(ExprKind::kAttribute, line, std::move(name), std::move(node));
}

ExpressionParser::Parsed ExpressionParser::ParseSubscript(ExprPtr node) {
  const int line = Current().line;
  ExprPtr bounds[3];
  bool is_slice = false;
  for (int i = 0; i < 3; ++i) {
    if (!Current().IsOperator(":") && !Current().IsOperator("]")) {
      UNSWIFT_ASSIGN_OR_RETURN(bounds[i], ParseExpression());
    }
    if (i == 2 || !SkipOperator(":")) break;
    is_slice = true;
  }
  UNSWIFT_RETURN_IF_ERROR(ExpectOperator("]"));
  if (is_slice) {
    return MakeNode(ExprKind::kSlice, line, "", std::move(node), std::move(bounds[0]),
                    std::move(bounds[1]), std::move(bounds[2]));
  }
  if (bounds[0] == nullptr) return Fail("expected an index between '[' and ']'");
  return MakeNode(ExprKind::kItem, line, "", std::move(node), std::move(bounds[0]));
}

/// "(" arguments ")": positional ones go to call.items, named ones to call.named.
Result<> ExpressionParser::ParseArguments(Expr& call) {
  UNSWIFT_RETURN_IF_ERROR(ExpectOperator("("));
  bool first = true;
  while (!SkipOperator(")")) {
    if (!first) {
      UNSWIFT_RETURN_IF_ERROR(ExpectOperator(","));
      if (SkipOperator(")")) break;
    }
    first = false;
    if (Current().IsOperator("*") || Current().IsOperator("**")) {
      return Fail("arguments with * are not supported", ErrorCode::kUnsupported);
    }
    Argument argument;
    if (Current().kind == TokenKind::kName && Following().IsOperator("=")) {
      argument.name = Current().text;
      Skip();
      Skip();
    } else if (!call.named.empty()) {
      return Expected("a named argument");
    }
    UNSWIFT_ASSIGN_OR_RETURN(argument.value, ParseExpression());
    if (argument.name.empty()) {
      call.items.push_back(std::move(argument.value));
    } else {
      call.named.push_back(std::move(argument));
    }
  }
  return {};
}

/// Tags -> statements.
class TemplateParser : ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Result<Block> ParseAll() {
    UNSWIFT_ASSIGN_OR_RETURN(Block block, ParseBlock({}));
    return block;
  }

 private:
  using Ends = std::initializer_list<std::string_view>;

  /// Up to a tag that one of `ends` opens; that name is the current token then.
  Result<Block> ParseBlock(Ends ends);
  /// The body of a statement, from the end of its tag to the end of {% end %}.
  Result<Block> ParseBody(std::string_view end);
  Result<> ExpectTagEnd();
  Result<Statement> ParseStatement();
  Result<> ParseIf(Statement& statement);
  Result<> ParseFor(Statement& statement);
  Result<> ParseSet(Statement& statement);
  Result<> ParseMacro(Statement& statement);
  Result<> ParseFilterBlock(Statement& statement);
  Result<> ParseWith(Statement& statement);
  Result<Target> ParseTarget(bool with_attribute);
  Result<Target> ParseTargetPart(bool with_attribute);

  int loops_ = 0;
};

Result<Block> TemplateParser::ParseBlock(Ends ends) {
  UNSWIFT_JINJA_LEVEL();
  Block block;
  while (true) {
    const Token& token = Current();
    if (token.kind == TokenKind::kEnd) break;
    Skip();
    if (token.kind == TokenKind::kData) {
      block.push_back({.kind = StatementKind::kData, .line = token.line, .text = token.text});
    } else if (token.kind == TokenKind::kVariableBegin) {
      Statement print{.kind = StatementKind::kPrint, .line = token.line};
      UNSWIFT_ASSIGN_OR_RETURN(print.value, ParseTuple(true));
      if (!SkipIf(Current().kind == TokenKind::kVariableEnd)) return Expected("'}}'");
      block.push_back(std::move(print));
    } else {  // the lexer lets only data and tags begin here
      if (Current().kind == TokenKind::kName &&
          std::find(ends.begin(), ends.end(), Current().text) != ends.end()) {
        return block;
      }
      UNSWIFT_ASSIGN_OR_RETURN(Statement statement, ParseStatement());
      block.push_back(std::move(statement));
      UNSWIFT_RETURN_IF_ERROR(ExpectTagEnd());
    }
  }
  if (ends.size() == 0) return block;
  return Expected(fmt::format("{{% {} %}}", *(ends.end() - 1)));
}

Result<> TemplateParser::ExpectTagEnd() {
  if (SkipIf(Current().kind == TokenKind::kBlockEnd)) return {};
  return Expected("'%}'");
}

Result<Block> TemplateParser::ParseBody(std::string_view end) {
  UNSWIFT_RETURN_IF_ERROR(ExpectTagEnd());
  UNSWIFT_ASSIGN_OR_RETURN(Block body, ParseBlock({end}));
  Skip();
  return body;
}

Result<Statement> TemplateParser::ParseStatement() {
  Statement statement{.kind = StatementKind::kScope, .line = Current().line};
  if (Current().kind != TokenKind::kName) return Expected("the name of a statement");
  const std::string name = Current().text;
  Skip();
  Result<> parsed;
  if (name == "if") {
    parsed = ParseIf(statement);
  } else if (name == "for") {
    parsed = ParseFor(statement);
  } else if (name == "set") {
    parsed = ParseSet(statement);
  } else if (name == "macro") {
    parsed = ParseMacro(statement);
  } else if (name == "filter") {
    parsed = ParseFilterBlock(statement);
  } else if (name == "with") {
    parsed = ParseWith(statement);
  } else if (name == "generation") {
    UNSWIFT_ASSIGN_OR_RETURN(statement.body, ParseBody("endgeneration"));
  } else if ((name == "break" || name == "continue") && loops_ > 0) {
    statement.kind = name == "break" ? StatementKind::kBreak : StatementKind::kContinue;
  } else {
    return Fail(fmt::format("statement '{}' is not supported here; known: if, for, set, macro, "
                            "filter, with, generation, break, continue, raw",
                            name.substr(0, 40)),
                ErrorCode::kUnsupported);
  }
  UNSWIFT_RETURN_IF_ERROR(parsed);
  return statement;
}

Result<> TemplateParser::ParseIf(Statement& statement) {
  statement.kind = StatementKind::kIf;
  while (true) {
    Branch branch;
    UNSWIFT_ASSIGN_OR_RETURN(branch.condition, ParseTuple(/*conditional=*/false));
    UNSWIFT_RETURN_IF_ERROR(ExpectTagEnd());
    UNSWIFT_ASSIGN_OR_RETURN(branch.body, ParseBlock({"elif", "else", "endif"}));
    statement.branches.push_back(std::move(branch));
    if (!SkipName("elif")) break;
  }
  if (SkipName("else")) {
    Branch branch;
    UNSWIFT_ASSIGN_OR_RETURN(branch.body, ParseBody("endif"));
    statement.branches.push_back(std::move(branch));
  } else {
    Skip();
  }
  return {};
}

Result<> TemplateParser::ParseFor(Statement& statement) {
  statement.kind = StatementKind::kFor;
  UNSWIFT_ASSIGN_OR_RETURN(statement.target, ParseTarget(/*with_attribute=*/false));
  if (!SkipName("in")) return Expected("'in'");
  UNSWIFT_ASSIGN_OR_RETURN(statement.value, ParseTuple(/*conditional=*/false, {"recursive"}));
  if (SkipName("if")) {
    UNSWIFT_ASSIGN_OR_RETURN(statement.condition, ParseExpression());
  }
  if (Current().IsName("recursive")) {
    return Fail("recursive loops are not supported", ErrorCode::kUnsupported);
  }
  UNSWIFT_RETURN_IF_ERROR(ExpectTagEnd());
  ++loops_;
  UNSWIFT_ASSIGN_OR_RETURN(statement.body, ParseBlock({"else", "endfor"}));
  --loops_;
  if (SkipName("else")) {
    UNSWIFT_ASSIGN_OR_RETURN(statement.otherwise, ParseBody("endfor"));
  } else {
    Skip();
  }
  return {};
}

Result<> TemplateParser::ParseSet(Statement& statement) {
  UNSWIFT_ASSIGN_OR_RETURN(statement.target, ParseTarget(/*with_attribute=*/true));
  if (SkipOperator("=")) {
    statement.kind = StatementKind::kSet;
    UNSWIFT_ASSIGN_OR_RETURN(statement.value, ParseTuple(true));
    return {};
  }
  statement.kind = StatementKind::kSetBlock;
  while (SkipOperator("|")) {
    UNSWIFT_ASSIGN_OR_RETURN(statement.value, ParseFilter(std::move(statement.value)));
  }
  UNSWIFT_ASSIGN_OR_RETURN(statement.body, ParseBody("endset"));
  return {};
}

Result<> TemplateParser::ParseMacro(Statement& statement) {
  statement.kind = StatementKind::kMacro;
  UNSWIFT_ASSIGN_OR_RETURN(statement.text, ExpectName());
  UNSWIFT_RETURN_IF_ERROR(ExpectOperator("("));
  while (!SkipOperator(")")) {
    if (!statement.parameters.empty()) UNSWIFT_RETURN_IF_ERROR(ExpectOperator(","));
    Argument parameter;
    UNSWIFT_ASSIGN_OR_RETURN(parameter.name, ExpectName());
    if (SkipOperator("=")) {
      UNSWIFT_ASSIGN_OR_RETURN(parameter.value, ParseExpression());
    } else if (!statement.parameters.empty() && statement.parameters.back().value != nullptr) {
      return Expected("a default value");
    }
    statement.parameters.push_back(std::move(parameter));
  }
  const int loops = std::exchange(loops_, 0);  // break does not leave a macro
  UNSWIFT_ASSIGN_OR_RETURN(statement.body, ParseBody("endmacro"));
  loops_ = loops;
  return {};
}

Result<> TemplateParser::ParseFilterBlock(Statement& statement) {
  statement.kind = StatementKind::kFilter;
  do {
    UNSWIFT_ASSIGN_OR_RETURN(statement.value, ParseFilter(std::move(statement.value)));
  } while (SkipOperator("|"));
  UNSWIFT_ASSIGN_OR_RETURN(statement.body, ParseBody("endfilter"));
  return {};
}

Result<> TemplateParser::ParseWith(Statement& statement) {
  statement.kind = StatementKind::kWith;
  while (Current().kind != TokenKind::kBlockEnd) {
    if (!statement.parameters.empty()) UNSWIFT_RETURN_IF_ERROR(ExpectOperator(","));
    Argument assignment;
    UNSWIFT_ASSIGN_OR_RETURN(assignment.name, ExpectName());
    UNSWIFT_RETURN_IF_ERROR(ExpectOperator("="));
    UNSWIFT_ASSIGN_OR_RETURN(assignment.value, ParseExpression());
    statement.parameters.push_back(std::move(assignment));
  }
  UNSWIFT_ASSIGN_OR_RETURN(statement.body, ParseBody("endwith"));
  return {};
}

Result<Target> TemplateParser::ParseTarget(bool with_attribute) {
  Target target;
  do {
    if (!target.parts.empty() && Current().kind != TokenKind::kName && !Current().IsOperator("(")) {
      break;  // a comma at the end
    }
    UNSWIFT_ASSIGN_OR_RETURN(Target part, ParseTargetPart(with_attribute));
    target.parts.push_back(std::move(part));
  } while (SkipOperator(","));
  if (target.parts.size() > 1) return target;
  return std::move(target.parts[0]);
}

Result<Target> TemplateParser::ParseTargetPart(bool with_attribute) {
  UNSWIFT_JINJA_LEVEL();
  if (SkipOperator("(")) {
    UNSWIFT_ASSIGN_OR_RETURN(Target target, ParseTarget(with_attribute));
    UNSWIFT_RETURN_IF_ERROR(ExpectOperator(")"));
    return target;
  }
  Target target;
  UNSWIFT_ASSIGN_OR_RETURN(target.name, ExpectName());
  if (with_attribute && SkipOperator(".")) {
    UNSWIFT_ASSIGN_OR_RETURN(target.attribute, ExpectName());
  }
  return target;
}

}  // namespace

Result<Block> ParseTemplate(std::string_view source, const Limits& limits) {
  if (source.size() > limits.max_source_bytes) {
    return MakeError(ErrorCode::kInvalidData, "line 1: expected at most {} bytes, got {}",
                     limits.max_source_bytes, source.size());
  }
  UNSWIFT_ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(source));
  return TemplateParser(std::move(tokens)).ParseAll();
}

}  // namespace unswift::jinja
