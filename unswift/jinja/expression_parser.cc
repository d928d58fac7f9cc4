#include "unswift/jinja/expression_parser.h"

#include <array>
#include <charconv>
#include <cstdlib>

namespace unswift::jinja {
namespace {

constexpr std::array<std::string_view, 6> kComparisons = {"==", "!=", "<", "<=", ">", ">="};

}  // namespace

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
    if (SkipOperator(".")) {
      UNSWIFT_ASSIGN_OR_RETURN(node, ParseDot(std::move(node)));
    } else if (SkipOperator("[")) {
      UNSWIFT_ASSIGN_OR_RETURN(node, ParseSubscript(std::move(node)));
    } else if (Current().IsOperator("(")) {
      UNSWIFT_ASSIGN_OR_RETURN(node, ParseCall(std::move(node)));
    } else {
      return node;
    }
  }
}

ExpressionParser::Parsed ExpressionParser::ParseFiltersAndTests(ExprPtr node) {
  while (true) {
    if (SkipOperator("|")) {
      UNSWIFT_ASSIGN_OR_RETURN(node, ParseFilter(std::move(node)));
    } else if (SkipName("is")) {
      UNSWIFT_ASSIGN_OR_RETURN(node, ParseTest(std::move(node)));
    } else if (Current().IsOperator("(")) {
      UNSWIFT_ASSIGN_OR_RETURN(node, ParseCall(std::move(node)));
    } else {
      return node;
    }
  }
}

ExpressionParser::Parsed ExpressionParser::ParseCall(ExprPtr callee) {
  Expr call{.kind = ExprKind::kCall, .line = Current().line};
  call.items.push_back(std::move(callee));
  UNSWIFT_RETURN_IF_ERROR(ParseArguments(call));
  return Make(std::move(call));
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

}  // namespace unswift::jinja
