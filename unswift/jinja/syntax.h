// The parsed form of a template.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "unswift/jinja/value.h"

namespace unswift::jinja {

enum class ExprKind {
  kConstant,     // value
  kName,         // text
  kList,         // items
  kTuple,        // items
  kDict,         // items: key, value, key, value, ...
  kAttribute,    // items[0] . text
  kItem,         // items[0] [ items[1] ]
  kSlice,        // items[0] [ items[1] : items[2] : items[3] ], null where left out
  kCall,         // items[0] ( items[1...], named )
  kFilter,       // items[0] | text ( items[1...], named ); items[0] null in {% filter %}
  kTest,         // items[0] is text ( items[1...], named )
  kUnary,        // text: - + not
  kBinary,       // text: + - * / // % **
  kCompare,      // items[0] op items[1] op ...; operators in `symbols`
  kConcatenate,  // items[0] ~ items[1] ~ ...
  kAnd,
  kOr,
  kConditional,  // items[0] if items[1] else items[2] (null: undefined)
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Argument {
  std::string name;
  ExprPtr value;
};

struct Expr {
  ExprKind kind;
  int line;
  std::string text = {};
  Value value = {};
  std::vector<ExprPtr> items = {};
  std::vector<Argument> named = {};
  std::vector<std::string> symbols = {};
  int depth = 1;
};

enum class StatementKind {
  kData,      // text
  kPrint,     // value
  kIf,        // branches
  kFor,       // target in value if condition: body, otherwise
  kSet,       // target = value
  kSetBlock,  // target = body, through the filters of value (null: none)
  kMacro,     // text(parameters): body
  kFilter,    // value around body
  kWith,      // parameters as assignments: body
  kScope,     // body (generation blocks)
  kBreak,
  kContinue,
};

struct Statement;
using Block = std::vector<Statement>;

/// What {% set %} and {% for %} assign to: a name, ns.attribute, or a tuple of them.
struct Target {
  std::string name;
  std::string attribute;      // of the namespace `name`
  std::vector<Target> parts;  // of a tuple; then there is no name
};

struct Branch {
  ExprPtr condition;  // null: else
  Block body;
};

struct Statement {
  StatementKind kind;
  int line;
  std::string text = {};
  ExprPtr value = {}, condition = {};
  Target target = {};
  Block body = {}, otherwise = {};
  std::vector<Branch> branches = {};
  std::vector<Argument> parameters = {};  // value null: no default
};

/// `source` is UTF-8. Errors: kInvalidData (syntax, too large, too deep), kUnsupported (a
/// statement that chat templates do not use), opening with "line N: ".
Result<Block> ParseTemplate(std::string_view source, const Limits& limits);

}  // namespace unswift::jinja
