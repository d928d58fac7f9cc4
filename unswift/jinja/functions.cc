// Functions that templates call by name, and how arguments meet parameters.
#include <algorithm>
#include <array>

#include "unswift/jinja/runtime.h"

namespace unswift::jinja {
namespace {

constexpr int64_t kMaxRange = 100'000;  // as Jinja's sandbox has it

Result<Value> Range(Runtime& runtime, const Arguments& arguments) {
  const std::vector<Value>& given = arguments.positional;
  int64_t bounds[3] = {0, 0, 1};  // start, stop, step
  if (given.empty() || given.size() > 3 || !arguments.named.empty()) {
    return Refuse("range: expected one to three integers");
  }
  for (size_t i = 0; i < given.size(); ++i) {
    if (!given[i].IsInteger()) return Refuse("range: expected integers");
    bounds[given.size() == 1 ? 1 : i] = given[i].ToInt();
  }
  const auto [start, stop, step] = bounds;
  if (step == 0) return Refuse("range: expected a step other than 0");
  std::vector<Value> numbers;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (static_cast<int64_t>(numbers.size()) == kMaxRange) {
      return Refuse("range: expected at most {} integers", kMaxRange);
    }
    numbers.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return MakeList(std::move(numbers), runtime.budget);
}

/// dict(other, name=value, ...)
Result<Dict> DictOf(const Arguments& arguments) {
  Dict dict;
  if (arguments.positional.size() > 1) return Refuse("dict: expected at most one dict");
  if (arguments.positional.size() == 1) {
    const Dict* other = arguments.positional[0].AsDict();
    if (other == nullptr) return Refuse("dict: expected a dict");
    dict = *other;
  }
  for (const auto& [name, value] : arguments.named) {
    UNSWIFT_RETURN_IF_ERROR(dict.Set(Value(name), value));
  }
  return dict;
}

Result<Value> MakeDictFrom(Runtime& runtime, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(Dict dict, DictOf(arguments));
  return MakeDict(std::move(dict), runtime.budget);
}

Result<Value> MakeNamespace(Runtime& runtime, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(const Dict dict, DictOf(arguments));
  UNSWIFT_RETURN_IF_ERROR(
      runtime.budget.Bytes(sizeof(Namespace) + dict.items().size() * 4 * sizeof(Value)));
  Namespace& space = runtime.namespaces.emplace_back();
  for (const auto& [name, value] : dict.items()) {
    if (name.AsString() == nullptr) return Refuse("namespace: expected names as keys");
    space.attributes[*name.AsString()] = value;
  }
  return Value(&space);
}

Result<Value> RaiseException(Runtime& runtime, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(const auto bound, arguments.Bind({"message"}));
  if (bound[0] == nullptr) return Refuse("raise_exception: expected a message");
  UNSWIFT_ASSIGN_OR_RETURN(const std::string message, ToText(*bound[0], runtime.budget));
  return Refuse("the template refuses this conversation: {}", message);
}

Result<Value> StrftimeNow(Runtime& runtime, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(const auto bound, arguments.Bind({"format"}));
  const std::string* format = bound[0] != nullptr ? bound[0]->AsString() : nullptr;
  if (format == nullptr || format->size() > 256) {
    return Refuse("strftime_now: expected a format of at most 256 bytes");
  }
  std::tm local = {};
  localtime_r(&runtime.now, &local);
  char text[4096];
  const size_t length = std::strftime(text, sizeof(text), format->c_str(), &local);
  return MakeString(std::string(text, length), runtime.budget);
}

struct Function {
  std::string_view name;
  Result<Value> (*call)(Runtime&, const Arguments&);
};

constexpr Function kFunctions[] = {
    {"range", Range},
    {"dict", MakeDictFrom},
    {"namespace", MakeNamespace},
    {"raise_exception", RaiseException},
    {"strftime_now", StrftimeNow},
};

}  // namespace

Result<std::vector<const Value*>> Arguments::Bind(
    std::initializer_list<std::string_view> names) const {
  if (positional.size() > names.size()) {
    return Refuse("expected at most {} arguments, got {}", names.size(), positional.size());
  }
  std::vector<const Value*> bound(names.size(), nullptr);
  for (size_t i = 0; i < positional.size(); ++i) bound[i] = &positional[i];
  for (const auto& [name, value] : named) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) return Refuse("no parameter '{}'", name);
    const Value*& place = bound[found - names.begin()];
    if (place != nullptr) return Refuse("parameter '{}' is given twice", name);
    place = &value;
  }
  return bound;
}

bool IsFunction(std::string_view name) {
  return std::any_of(std::begin(kFunctions), std::end(kFunctions),
                     [&](const Function& function) { return function.name == name; });
}

Result<Value> CallFunction(Runtime& runtime, std::string_view name, const Arguments& arguments) {
  for (const Function& function : kFunctions) {
    if (function.name == name) return function.call(runtime, arguments);
  }
  return MakeError(ErrorCode::kUnsupported, "no function '{}'", name);
}

}  // namespace unswift::jinja
