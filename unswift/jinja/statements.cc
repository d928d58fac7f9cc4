#include <utility>

#include "unswift/jinja/interpreter.h"

namespace unswift::jinja {

Result<std::string> Interpreter::Run(const Block& block, const Dict& variables) {
  scope_ = std::make_shared<Scope>();
  for (const auto& [name, value] : variables.items()) scope_->names[*name.AsString()] = value;
  // The template's own level lies over the caller's variables.
  scope_ = std::make_shared<Scope>(Scope{{}, scope_});
  std::string out;
  const Result<Flow> flow = RunBlock(block, out);
  if (flow) return out;
  return MakeError(flow.error().code, "line {}: {}", line_, flow.error().message);
}

Result<> Interpreter::CheckDepth() const {
  const int limit = runtime_.budget.limits().max_depth;
  if (depth_ <= limit) return {};
  return MakeError(ErrorCode::kInvalidData, "expected at most {} nested evaluations", limit);
}

Result<Flow> Interpreter::RunBlock(const Block& block, std::string& out) {
  const Level level(depth_);
  UNSWIFT_RETURN_IF_ERROR(CheckDepth());
  for (const Statement& statement : block) {
    line_ = statement.line;
    UNSWIFT_RETURN_IF_ERROR(runtime_.budget.Step());
    UNSWIFT_ASSIGN_OR_RETURN(const Flow flow, RunStatement(statement, out));
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Result<Flow> Interpreter::RunStatement(const Statement& statement, std::string& out) {
  switch (statement.kind) {
    case StatementKind::kData:
      UNSWIFT_RETURN_IF_ERROR(runtime_.budget.Bytes(statement.text.size()));
      out += statement.text;
      return Flow::kNext;
    case StatementKind::kPrint: {
      UNSWIFT_ASSIGN_OR_RETURN(const Value value, Eval(*statement.value));
      UNSWIFT_ASSIGN_OR_RETURN(const std::string text, ToText(value, runtime_.budget));
      out += text;
      return Flow::kNext;
    }
    case StatementKind::kIf:
      return RunIf(statement, out);
    case StatementKind::kFor:
      return RunFor(statement, out);
    case StatementKind::kSet: {
      UNSWIFT_ASSIGN_OR_RETURN(const Value value, Eval(*statement.value));
      UNSWIFT_RETURN_IF_ERROR(Assign(statement.target, value));
      return Flow::kNext;
    }
    case StatementKind::kSetBlock:
      return RunSetBlock(statement);
    case StatementKind::kMacro:
      UNSWIFT_RETURN_IF_ERROR(Bind(
          statement.text, Value(std::make_shared<const Callable>(Callable{.kind = Callable::kMacro,
                                                                          .name = statement.text,
                                                                          .macro = &statement,
                                                                          .scope = scope_}))));
      return Flow::kNext;
    case StatementKind::kFilter:
      return RunFilter(statement, out);
    case StatementKind::kWith:
      return RunWith(statement, out);
    case StatementKind::kScope: {
      const Inner inner(*this);
      return RunBlock(statement.body, out);
    }
    case StatementKind::kBreak:
      return Flow::kBreak;
    case StatementKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNext;
}

Result<Flow> Interpreter::RunIf(const Statement& statement, std::string& out) {
  for (const Branch& branch : statement.branches) {
    if (branch.condition != nullptr) {
      UNSWIFT_ASSIGN_OR_RETURN(const Value condition, Eval(*branch.condition));
      if (!condition.IsTrue()) continue;
    }
    return RunBlock(branch.body, out);
  }
  return Flow::kNext;
}

Result<Flow> Interpreter::RunFor(const Statement& statement, std::string& out) {
  UNSWIFT_ASSIGN_OR_RETURN(const Value sequence, Eval(*statement.value));
  UNSWIFT_ASSIGN_OR_RETURN(std::vector<Value> items, Elements(runtime_, sequence));
  if (statement.condition != nullptr) {
    UNSWIFT_ASSIGN_OR_RETURN(items, Selected(statement, std::move(items)));
  }
  if (items.empty()) {
    const Inner inner(*this);
    return RunBlock(statement.otherwise, out);
  }
  UNSWIFT_ASSIGN_OR_RETURN(const Value list, MakeList(std::move(items), runtime_.budget));
  const auto& shared = *list.As<std::shared_ptr<const List>>();
  const Level loop_level(depth_);
  Flow flow = Flow::kNext;
  for (size_t i = 0; i < shared->items.size() && flow != Flow::kBreak; ++i) {
    const Inner inner(*this);
    UNSWIFT_RETURN_IF_ERROR(Assign(statement.target, shared->items[i]));
    UNSWIFT_RETURN_IF_ERROR(
        Bind("loop", Value(std::make_shared<const Loop>(Loop{shared, static_cast<int64_t>(i)}))));
    UNSWIFT_ASSIGN_OR_RETURN(flow, RunBlock(statement.body, out));
  }
  return Flow::kNext;
}

/// The items for which the loop's condition holds.
Result<std::vector<Value>> Interpreter::Selected(const Statement& statement,
                                                 std::vector<Value> items) {
  std::vector<Value> selected;
  for (Value& item : items) {
    const Inner inner(*this);
    UNSWIFT_RETURN_IF_ERROR(Assign(statement.target, item));
    UNSWIFT_ASSIGN_OR_RETURN(const Value holds, Eval(*statement.condition));
    if (holds.IsTrue()) selected.push_back(std::move(item));
  }
  return selected;
}

Result<Flow> Interpreter::RunSetBlock(const Statement& statement) {
  std::string text;
  Flow flow;
  {
    const Inner inner(*this);
    UNSWIFT_ASSIGN_OR_RETURN(flow, RunBlock(statement.body, text));
  }
  Value value(std::move(text));
  if (statement.value != nullptr) {
    UNSWIFT_ASSIGN_OR_RETURN(value, EvalFilter(*statement.value, &value));
  }
  UNSWIFT_RETURN_IF_ERROR(Assign(statement.target, value));
  return flow;
}

Result<Flow> Interpreter::RunFilter(const Statement& statement, std::string& out) {
  const Inner inner(*this);
  std::string text;
  UNSWIFT_ASSIGN_OR_RETURN(const Flow flow, RunBlock(statement.body, text));
  const Value input(std::move(text));
  UNSWIFT_ASSIGN_OR_RETURN(const Value value, EvalFilter(*statement.value, &input));
  UNSWIFT_ASSIGN_OR_RETURN(text, ToText(value, runtime_.budget));
  out += text;
  return flow;
}

Result<Flow> Interpreter::RunWith(const Statement& statement, std::string& out) {
  std::vector<Value> values;  // all evaluated outside
  for (const Argument& assignment : statement.parameters) {
    UNSWIFT_ASSIGN_OR_RETURN(Value value, Eval(*assignment.value));
    values.push_back(std::move(value));
  }
  const Inner inner(*this);
  for (size_t i = 0; i < values.size(); ++i) {
    UNSWIFT_RETURN_IF_ERROR(Bind(statement.parameters[i].name, std::move(values[i])));
  }
  return RunBlock(statement.body, out);
}

Result<> Interpreter::Bind(const std::string& name, Value value) {
  UNSWIFT_RETURN_IF_ERROR(runtime_.budget.Bytes(name.size() + sizeof(Value)));
  scope_->names.insert_or_assign(name, std::move(value));
  return {};
}

Result<> Interpreter::Assign(const Target& target, const Value& value) {
  if (!target.parts.empty()) {
    UNSWIFT_ASSIGN_OR_RETURN(const std::vector<Value> parts, Elements(runtime_, value));
    if (parts.size() != target.parts.size()) {
      return Refuse("expected {} values to unpack, got {}", target.parts.size(), parts.size());
    }
    for (size_t i = 0; i < parts.size(); ++i) {
      UNSWIFT_RETURN_IF_ERROR(Assign(target.parts[i], parts[i]));
    }
    return {};
  }
  if (target.attribute.empty()) return Bind(target.name, value);
  const Value* object = FindName(target.name);
  const auto* space = object != nullptr ? object->As<Namespace*>() : nullptr;
  if (space == nullptr) return Refuse("'{}' is no namespace to assign to", target.name);
  UNSWIFT_RETURN_IF_ERROR(runtime_.budget.Bytes(target.attribute.size() + sizeof(Value)));
  (*space)->attributes.insert_or_assign(target.attribute, value);
  return {};
}

}  // namespace unswift::jinja
