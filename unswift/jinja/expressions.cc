#include <utility>

#include "unswift/jinja/interpreter.h"

namespace unswift::jinja {

const Value* Interpreter::FindName(const std::string& name) const {
  for (const Scope* scope = scope_.get(); scope != nullptr; scope = scope->outer.get()) {
    const auto found = scope->names.find(name);
    if (found != scope->names.end()) return &found->second;
  }
  return nullptr;
}

Result<Value> Interpreter::Eval(const Expr& expr) {
  const Level level(depth_);
  UNSWIFT_RETURN_IF_ERROR(CheckDepth());
  UNSWIFT_RETURN_IF_ERROR(runtime_.budget.Step());
  const int line = std::exchange(line_, expr.line);
  Result<Value> value = EvalKind(expr);
  if (value) line_ = line;
  return value;
}

Result<Value> Interpreter::EvalKind(const Expr& expr) {
  switch (expr.kind) {
    case ExprKind::kConstant:
      return expr.value;
    case ExprKind::kName:
      return EvalName(expr);
    case ExprKind::kList:
    case ExprKind::kTuple:
      return EvalSequence(expr);
    case ExprKind::kDict:
      return EvalDict(expr);
    case ExprKind::kAttribute: {
      UNSWIFT_ASSIGN_OR_RETURN(const Value object, Eval(*expr.items[0]));
      return GetAttribute(object, expr.text);
    }
    case ExprKind::kItem: {
      UNSWIFT_ASSIGN_OR_RETURN(const Value object, Eval(*expr.items[0]));
      UNSWIFT_ASSIGN_OR_RETURN(const Value key, Eval(*expr.items[1]));
      return GetItem(runtime_, object, key);
    }
    case ExprKind::kSlice:
      return EvalSlice(expr);
    case ExprKind::kCall:
      return EvalCall(expr);
    case ExprKind::kFilter:
      return EvalFilter(expr, nullptr);
    case ExprKind::kTest: {
      UNSWIFT_ASSIGN_OR_RETURN(const Value input, Eval(*expr.items[0]));
      UNSWIFT_ASSIGN_OR_RETURN(const Arguments arguments, EvalArguments(expr));
      UNSWIFT_ASSIGN_OR_RETURN(const bool holds, ApplyTest(runtime_, expr.text, input, arguments));
      return Value(holds);
    }
    case ExprKind::kUnary:
      return EvalUnary(expr);
    case ExprKind::kBinary: {
      UNSWIFT_ASSIGN_OR_RETURN(const Value left, Eval(*expr.items[0]));
      UNSWIFT_ASSIGN_OR_RETURN(const Value right, Eval(*expr.items[1]));
      return Arithmetic(runtime_, expr.text, left, right);
    }
    case ExprKind::kCompare:
      return EvalCompare(expr);
    case ExprKind::kConcatenate:
      return EvalConcatenation(expr);
    case ExprKind::kAnd:
    case ExprKind::kOr: {
      UNSWIFT_ASSIGN_OR_RETURN(Value left, Eval(*expr.items[0]));
      if (left.IsTrue() == (expr.kind == ExprKind::kOr)) return left;
      return Eval(*expr.items[1]);
    }
    case ExprKind::kConditional:
      return EvalConditional(expr);
  }
  return Value();
}

Result<Value> Interpreter::EvalName(const Expr& expr) {
  if (const Value* found = FindName(expr.text)) return *found;
  if (IsFunction(expr.text)) {
    return Value(std::make_shared<const Callable>(Callable{Callable::kFunction, expr.text}));
  }
  return Value(Undefined{fmt::format("'{}' is undefined", expr.text)});
}

Result<Value> Interpreter::EvalSequence(const Expr& expr) {
  std::vector<Value> items;
  for (const ExprPtr& item : expr.items) {
    UNSWIFT_ASSIGN_OR_RETURN(Value value, Eval(*item));
    items.push_back(std::move(value));
  }
  return MakeList(std::move(items), runtime_.budget, expr.kind == ExprKind::kTuple);
}

Result<Value> Interpreter::EvalDict(const Expr& expr) {
  Dict dict;
  for (size_t i = 0; i < expr.items.size(); i += 2) {
    UNSWIFT_ASSIGN_OR_RETURN(const Value key, Eval(*expr.items[i]));
    UNSWIFT_ASSIGN_OR_RETURN(Value value, Eval(*expr.items[i + 1]));
    UNSWIFT_RETURN_IF_ERROR(dict.Set(key, std::move(value)));
  }
  return MakeDict(std::move(dict), runtime_.budget);
}

Result<Value> Interpreter::EvalSlice(const Expr& expr) {
  UNSWIFT_ASSIGN_OR_RETURN(const Value object, Eval(*expr.items[0]));
  Value bounds[3];
  for (int i = 0; i < 3; ++i) {
    if (expr.items[i + 1] == nullptr) continue;
    UNSWIFT_ASSIGN_OR_RETURN(bounds[i], Eval(*expr.items[i + 1]));
  }
  return GetSlice(runtime_, object, bounds[0], bounds[1], bounds[2]);
}

Result<Value> Interpreter::EvalUnary(const Expr& expr) {
  UNSWIFT_ASSIGN_OR_RETURN(const Value value, Eval(*expr.items[0]));
  if (expr.text == "not") return Value(!value.IsTrue());
  if (value.IsUndefined()) return RefuseUndefined(value);
  if (!value.IsNumber()) return Refuse("cannot compute {}{}", expr.text, value.TypeName());
  if (expr.text == "+") return value.As<bool>() != nullptr ? Value(value.ToInt()) : value;
  if (!value.IsInteger()) return Value(-value.ToDouble());
  return Arithmetic(runtime_, "-", Value(int64_t{0}), value);
}

Result<Value> Interpreter::EvalCompare(const Expr& expr) {
  UNSWIFT_ASSIGN_OR_RETURN(Value left, Eval(*expr.items[0]));
  for (size_t i = 0; i < expr.symbols.size(); ++i) {
    UNSWIFT_ASSIGN_OR_RETURN(Value right, Eval(*expr.items[i + 1]));
    UNSWIFT_ASSIGN_OR_RETURN(const bool holds, Compare(expr.symbols[i], left, right));
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Result<bool> Interpreter::Compare(std::string_view symbol, const Value& left, const Value& right) {
  if (symbol == "not in") {
    UNSWIFT_ASSIGN_OR_RETURN(const bool contained, Contains(runtime_, right, left));
    return !contained;
  }
  if (symbol != "==" && symbol != "!=" && symbol != "in") {
    for (const Value* operand : {&left, &right}) {
      if (operand->IsUndefined()) return RefuseUndefined(*operand);
    }
  }
  return ApplyTest(runtime_, symbol, left, Arguments{{right}, {}});
}

Result<Value> Interpreter::EvalConcatenation(const Expr& expr) {
  std::string text;
  for (const ExprPtr& item : expr.items) {
    UNSWIFT_ASSIGN_OR_RETURN(const Value value, Eval(*item));
    UNSWIFT_ASSIGN_OR_RETURN(const std::string part, ToText(value, runtime_.budget));
    text += part;
  }
  return Value(std::move(text));
}

Result<Value> Interpreter::EvalConditional(const Expr& expr) {
  UNSWIFT_ASSIGN_OR_RETURN(const Value condition, Eval(*expr.items[1]));
  if (condition.IsTrue()) return Eval(*expr.items[0]);
  if (expr.items[2] != nullptr) return Eval(*expr.items[2]);
  return Value(Undefined{"the condition is false and there is no 'else'"});
}

/// `input` stands for the innermost operand of a {% filter %} or {% set | ... %} chain.
Result<Value> Interpreter::EvalFilter(const Expr& expr, const Value* input) {
  const Level level(depth_);
  UNSWIFT_RETURN_IF_ERROR(CheckDepth());
  Value operand;
  if (expr.items[0] == nullptr) {
    operand = *input;
  } else if (input != nullptr) {
    UNSWIFT_ASSIGN_OR_RETURN(operand, EvalFilter(*expr.items[0], input));
  } else {
    UNSWIFT_ASSIGN_OR_RETURN(operand, Eval(*expr.items[0]));
  }
  UNSWIFT_ASSIGN_OR_RETURN(const Arguments arguments, EvalArguments(expr));
  return ApplyFilter(runtime_, expr.text, operand, arguments);
}

Result<Arguments> Interpreter::EvalArguments(const Expr& expr) {
  Arguments arguments;
  for (size_t i = 1; i < expr.items.size(); ++i) {
    UNSWIFT_ASSIGN_OR_RETURN(Value value, Eval(*expr.items[i]));
    arguments.positional.push_back(std::move(value));
  }
  for (const Argument& argument : expr.named) {
    UNSWIFT_ASSIGN_OR_RETURN(Value value, Eval(*argument.value));
    arguments.named.emplace_back(argument.name, std::move(value));
  }
  return arguments;
}

Result<Value> Interpreter::EvalCall(const Expr& expr) {
  UNSWIFT_ASSIGN_OR_RETURN(const Value callee, Eval(*expr.items[0]));
  UNSWIFT_ASSIGN_OR_RETURN(const Arguments arguments, EvalArguments(expr));
  if (callee.IsUndefined()) return RefuseUndefined(callee);
  const auto* held = callee.As<std::shared_ptr<const Callable>>();
  if (held == nullptr) return Refuse("{} cannot be called", callee.TypeName());
  const Callable& callable = **held;
  if (callable.kind == Callable::kMacro) return CallMacro(callable, arguments);
  if (callable.kind == Callable::kFunction) {
    return CallFunction(runtime_, callable.name, arguments);
  }
  return CallMethod(runtime_, callable.object, callable.name, arguments);
}

Result<Value> Interpreter::CallMacro(const Callable& callable, const Arguments& arguments) {
  const Statement& macro = *callable.macro;
  ScopePtr outer = callable.scope.lock();
  if (outer == nullptr) return Refuse("macro '{}' is called outside of its loop", callable.name);
  if (arguments.positional.size() > macro.parameters.size()) {
    return Refuse("macro '{}': expected at most {} arguments, got {}", callable.name,
                  macro.parameters.size(), arguments.positional.size());
  }
  std::unordered_map<std::string_view, const Value*> named;
  for (const auto& [name, value] : arguments.named) named[name] = &value;
  const Inner inner(*this, std::move(outer));
  for (size_t i = 0; i < macro.parameters.size(); ++i) {
    const Argument& parameter = macro.parameters[i];
    Value value = Undefined{fmt::format("parameter '{}' was not provided", parameter.name)};
    if (i < arguments.positional.size()) {
      value = arguments.positional[i];
    } else if (named.contains(parameter.name)) {
      value = *named.at(parameter.name);
      named.erase(parameter.name);
    } else if (parameter.value != nullptr) {
      UNSWIFT_ASSIGN_OR_RETURN(value, Eval(*parameter.value));
    }
    UNSWIFT_RETURN_IF_ERROR(Bind(parameter.name, std::move(value)));
  }
  if (!named.empty()) {
    return Refuse("macro '{}': no free parameter '{}'", callable.name, named.begin()->first);
  }
  const int line = line_;
  std::string out;
  UNSWIFT_RETURN_IF_ERROR(RunBlock(macro.body, out));
  line_ = line;
  return Value(std::move(out));
}

}  // namespace unswift::jinja
