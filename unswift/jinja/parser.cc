#include <algorithm>
#include <initializer_list>
#include <utility>

#include "unswift/jinja/expression_parser.h"

namespace unswift::jinja {
namespace {

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
