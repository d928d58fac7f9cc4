// What expressions call: filters, tests, methods and functions, each a table by name.
#pragma once

#include <ctime>
#include <deque>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unswift/jinja/syntax.h"
#include "unswift/jinja/value.h"

namespace unswift::jinja {

/// State of one rendering.
struct Runtime {
  Budget budget;
  std::time_t now;
  std::deque<Namespace> namespaces;  // values point here
};

struct Scope;  // interpreter.h

/// What can be called: a macro, a function, or a method of `object`.
struct Callable {
  enum Kind { kMacro, kFunction, kMethod } kind;
  std::string name;
  Value object = Value();
  const Statement* macro = nullptr;
  // Weak: the scope holds the macro. It outlives its calls, except of a macro carried out of a
  // loop.
  std::weak_ptr<Scope> scope = {};
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;

  /// The values of the parameters in order, null where not given. Errors: too many, or a name that
  /// is not among them.
  Result<std::vector<const Value*>> Bind(std::initializer_list<std::string_view> names) const;
};

/// Errors of all four: kUnsupported for an unknown name, kInvalidArgument for arguments that
/// Python would refuse, the budget's.
Result<Value> ApplyFilter(Runtime& runtime, std::string_view name, const Value& input,
                          const Arguments& arguments);
Result<bool> ApplyTest(Runtime& runtime, std::string_view name, const Value& input,
                       const Arguments& arguments);
Result<Value> CallMethod(Runtime& runtime, const Value& object, std::string_view name,
                         const Arguments& arguments);
Result<Value> CallFunction(Runtime& runtime, std::string_view name, const Arguments& arguments);
bool IsFunction(std::string_view name);

/// object.name and object[key] as Jinja's sandbox gives them; undefined when there is none.
/// Errors: the object is itself undefined.
Result<Value> GetAttribute(const Value& object, std::string_view name);
Result<Value> GetItem(Runtime& runtime, const Value& object, const Value& key);
Result<Value> GetSlice(Runtime& runtime, const Value& object, const Value& start, const Value& stop,
                       const Value& step);
/// item in container.
Result<bool> Contains(Runtime& runtime, const Value& container, const Value& item);
/// The elements of a list, the characters of a string, the keys of a dict; none of undefined.
Result<std::vector<Value>> Elements(Runtime& runtime, const Value& value);
/// a + b and the other binary operators.
Result<Value> Arithmetic(Runtime& runtime, std::string_view symbol, const Value& left,
                         const Value& right);

/// An error of the template's own doing, without its line.
template <typename... Args>
tl::unexpected<Error> Refuse(fmt::format_string<Args...> format, Args&&... args) {
  return MakeError(ErrorCode::kInvalidArgument, format, std::forward<Args>(args)...);
}
/// "'x' is undefined", ...
tl::unexpected<Error> RefuseUndefined(const Value& value);

/// A string built by the template, charged to the budget.
inline Result<Value> MakeString(std::string text, Budget& budget) {
  UNSWIFT_RETURN_IF_ERROR(budget.Bytes(text.size() + sizeof(std::string)));
  return Value(std::move(text));
}

}  // namespace unswift::jinja
