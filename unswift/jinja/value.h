// The values of a template: what Python's would be, as far as chat templates go.
//
// Values are immutable and shared; only a namespace changes, and the interpreter owns those, so no
// cycle of shared pointers can come to be.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "unswift/base/result.h"
#include "unswift/io/json_fwd.h"
#include "unswift/jinja/budget.h"

namespace unswift::jinja {

class Value;
struct Callable;  // runtime.h

/// What an unknown name or key gives. Printing it gives nothing; using it is an error with this
/// text.
struct Undefined {
  std::string why;
};
struct None {};

struct List {
  std::vector<Value> items;
  bool is_tuple = false;
  int depth = 1;  // levels of containers, itself included
};

/// Insertion order, as in Python. Keys are strings, integers, booleans and none.
class Dict {
 public:
  const std::vector<std::pair<Value, Value>>& items() const { return items_; }
  /// Null when absent, also for a value that can be no key.
  const Value* Find(const Value& key) const;
  const Value* Find(std::string_view key) const;
  /// Errors: a key that cannot be hashed.
  Result<> Set(const Value& key, Value value);
  int depth = 1;

 private:
  std::vector<std::pair<Value, Value>> items_;
  std::unordered_map<std::string, size_t> index_;  // by kind and text of the key
};

/// {% set ns.name = ... %}
struct Namespace {
  std::unordered_map<std::string, Value> attributes;
};

/// The variable `loop` of a for.
struct Loop {
  std::shared_ptr<const List> items;
  int64_t index0 = 0;
};

class Value {
 public:
  using String = std::shared_ptr<const std::string>;
  using Held = std::variant<Undefined, None, bool, int64_t, double, String,
                            std::shared_ptr<const List>, std::shared_ptr<const Dict>, Namespace*,
                            std::shared_ptr<const Loop>, std::shared_ptr<const Callable>>;

  Value() : held_(None{}) {}
  Value(Undefined undefined) : held_(std::move(undefined)) {}
  Value(bool value) : held_(value) {}
  Value(int64_t value) : held_(value) {}
  Value(double value) : held_(value) {}
  Value(std::string text) : held_(std::make_shared<const std::string>(std::move(text))) {}
  Value(std::string_view text) : Value(std::string(text)) {}
  Value(const char* text) : Value(std::string(text)) {}
  Value(Namespace* space) : held_(space) {}
  Value(std::shared_ptr<const Loop> loop) : held_(std::move(loop)) {}
  Value(std::shared_ptr<const Callable> callable) : held_(std::move(callable)) {}
  Value(std::shared_ptr<const List> list) : held_(std::move(list)) {}
  Value(std::shared_ptr<const Dict> dict) : held_(std::move(dict)) {}

  template <typename T>
  const T* As() const {
    return std::get_if<T>(&held_);
  }
  bool IsUndefined() const { return As<Undefined>() != nullptr; }
  bool IsNone() const { return As<None>() != nullptr; }
  /// Null when the value is of another kind.
  const std::string* AsString() const;
  const List* AsList() const;
  const Dict* AsDict() const;
  /// Integers and booleans, as Python counts them.
  const int64_t* AsInt() const { return As<int64_t>(); }
  bool IsInteger() const { return AsInt() != nullptr || As<bool>() != nullptr; }
  bool IsNumber() const { return IsInteger() || As<double>() != nullptr; }
  int64_t ToInt() const;    ///< of IsInteger()
  double ToDouble() const;  ///< of IsNumber()

  /// Python's bool(x).
  bool IsTrue() const;
  /// Levels of containers: 0 for scalars.
  int depth() const;
  /// Python's name of the type, for messages.
  std::string_view TypeName() const;

 private:
  Held held_;
};

/// Containers, checked against the limit of depth and charged to the budget.
Result<Value> MakeList(std::vector<Value> items, Budget& budget, bool is_tuple = false);
Result<Value> MakeDict(Dict dict, Budget& budget);

/// Errors: kInvalidData when the document exceeds the budget.
Result<Value> FromJson(const OrderedJson& json, Budget& budget);

/// Python's ==. Charges a step per element, so that shared containers cannot be compared for ever.
Result<bool> Equal(const Value& a, const Value& b, Budget& budget);
/// Python's a < b for two numbers, two strings or two lists. Errors: kInvalidArgument for others.
Result<bool> Less(const Value& a, const Value& b, Budget& budget);

/// Python's str(x), which is what {{ x }} prints. Errors: the budget's.
Result<std::string> ToText(const Value& value, Budget& budget);
/// Python's repr(x) of a float: "1.0", "1e+16", "nan".
std::string FloatText(double value);

struct JsonStyle {
  int indent = -1;  ///< below 0: one line
  std::string item_separator = ", ", key_separator = ": ";
  bool ensure_ascii = false, sort_keys = false;
};
/// json.dumps(x) with transformers' settings. Errors: kInvalidArgument for what JSON has no form
/// of.
Result<std::string> ToJsonText(const Value& value, const JsonStyle& style, Budget& budget);

}  // namespace unswift::jinja
