// Runs a parsed template. Internal to jinja/.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "unswift/jinja/runtime.h"
#include "unswift/jinja/syntax.h"

namespace unswift::jinja {

/// Names of one level: the template, a macro's call, an iteration, a block.
struct Scope {
  std::unordered_map<std::string, Value> names;
  std::shared_ptr<Scope> outer;
};

using ScopePtr = std::shared_ptr<Scope>;

enum class Flow { kNext, kBreak, kContinue };

/// Of one rendering. Statements are in statements.cc, expressions in expressions.cc.
class Interpreter {
 public:
  explicit Interpreter(Runtime& runtime) : runtime_(runtime) {}

  /// Errors open with "line N: ".
  Result<std::string> Run(const Block& block, const Dict& variables);

 private:
  /// Enters a scope and leaves it again.
  class Inner {
   public:
    Inner(Interpreter& interpreter, ScopePtr outer)
        : interpreter_(interpreter),
          previous_(std::exchange(interpreter.scope_,
                                  std::make_shared<Scope>(Scope{{}, std::move(outer)}))) {}
    explicit Inner(Interpreter& interpreter) : Inner(interpreter, interpreter.scope_) {}
    ~Inner() { interpreter_.scope_ = std::move(previous_); }
    Inner(const Inner&) = delete;

   private:
    Interpreter& interpreter_;
    ScopePtr previous_;
  };

  Result<> CheckDepth() const;

  // Statements.
  Result<Flow> RunBlock(const Block& block, std::string& out);
  Result<Flow> RunStatement(const Statement& statement, std::string& out);
  Result<Flow> RunIf(const Statement& statement, std::string& out);
  Result<Flow> RunFor(const Statement& statement, std::string& out);
  Result<Flow> RunSetBlock(const Statement& statement);
  Result<Flow> RunFilter(const Statement& statement, std::string& out);
  Result<Flow> RunWith(const Statement& statement, std::string& out);
  Result<std::vector<Value>> Selected(const Statement& statement, std::vector<Value> items);
  Result<> Assign(const Target& target, const Value& value);
  Result<> Bind(const std::string& name, Value value);

  // Expressions. On success the line is again that of the node around.
  Result<Value> Eval(const Expr& expr);
  Result<Value> EvalKind(const Expr& expr);
  Result<Value> EvalName(const Expr& expr);
  Result<Value> EvalSequence(const Expr& expr);
  Result<Value> EvalDict(const Expr& expr);
  Result<Value> EvalSlice(const Expr& expr);
  Result<Value> EvalUnary(const Expr& expr);
  Result<Value> EvalCompare(const Expr& expr);
  Result<bool> Compare(std::string_view symbol, const Value& left, const Value& right);
  Result<Value> EvalConcatenation(const Expr& expr);
  Result<Value> EvalConditional(const Expr& expr);
  Result<Value> EvalFilter(const Expr& expr, const Value* input);
  Result<Value> EvalCall(const Expr& expr);
  Result<Value> CallMacro(const Callable& callable, const Arguments& arguments);
  Result<Arguments> EvalArguments(const Expr& expr);
  const Value* FindName(const std::string& name) const;

  Runtime& runtime_;
  ScopePtr scope_;
  int depth_ = 0;
  int line_ = 1;
};

}  // namespace unswift::jinja
