#include "unswift/jinja/methods.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "unswift/jinja/runtime.h"
#include "unswift/jinja/text.h"

namespace unswift::jinja {
namespace {

using Bound = std::vector<const Value*>;

/// The string, null for none or not given. Errors: another type.
Result<const std::string*> OptionalString(const Value* value) {
  if (value == nullptr || value->IsNone()) return nullptr;
  if (const std::string* text = value->AsString()) return text;
  return Refuse("expected a string as the argument, got {}", value->TypeName());
}

Result<const std::string*> RequiredString(const Value* value) {
  UNSWIFT_ASSIGN_OR_RETURN(const std::string* text, OptionalString(value));
  if (text != nullptr) return text;
  return Refuse("expected a string as the argument");
}

Result<int64_t> IntegerOr(const Value* value, int64_t fallback) {
  if (value == nullptr) return fallback;
  if (value->IsInteger()) return value->ToInt();
  return Refuse("expected an integer as the argument, got {}", value->TypeName());
}

Result<Value> ListOf(const std::vector<std::string_view>& parts, Budget& budget) {
  std::vector<Value> items(parts.begin(), parts.end());
  UNSWIFT_RETURN_IF_ERROR(budget.Bytes(items.size() * sizeof(std::string)));
  return MakeList(std::move(items), budget);
}

/// str.strip and its sides.
template <std::string_view (*strip)(std::string_view, const std::string*)>
Result<Value> StripWith(Runtime& runtime, const std::string& text, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(const Bound bound, arguments.Bind({"chars"}));
  UNSWIFT_ASSIGN_OR_RETURN(const std::string* chars, OptionalString(bound[0]));
  return MakeString(std::string(strip(text, chars)), runtime.budget);
}

template <std::vector<std::string_view> (*split)(std::string_view, const std::string*, int64_t)>
Result<Value> SplitWith(Runtime& runtime, const std::string& text, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(const Bound bound, arguments.Bind({"sep", "maxsplit"}));
  UNSWIFT_ASSIGN_OR_RETURN(const std::string* separator, OptionalString(bound[0]));
  UNSWIFT_ASSIGN_OR_RETURN(const int64_t max_splits, IntegerOr(bound[1], -1));
  if (separator != nullptr && separator->empty()) return Refuse("expected a separator, got ''");
  UNSWIFT_RETURN_IF_ERROR(runtime.budget.Bytes(text.size()));
  return ListOf(split(text, separator, max_splits), runtime.budget);
}

template <std::string (*map)(std::string_view)>
Result<Value> MapWith(Runtime& runtime, const std::string& text, const Arguments& arguments) {
  UNSWIFT_RETURN_IF_ERROR(arguments.Bind({}));
  UNSWIFT_RETURN_IF_ERROR(runtime.budget.Bytes(text.size() * 3));
  return MakeString(map(text), runtime.budget);
}

template <bool (*test)(std::string_view)>
Result<Value> TestWith(Runtime& runtime, const std::string& text, const Arguments& arguments) {
  UNSWIFT_RETURN_IF_ERROR(arguments.Bind({}));
  UNSWIFT_RETURN_IF_ERROR(runtime.budget.Step(1 + text.size() / 16));
  return Value(test(text));
}

/// str.startswith / endswith: one string or a tuple of them.
template <bool at_start>
Result<Value> TestEnd(Runtime& runtime, const std::string& text, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(const Bound bound, arguments.Bind({"prefix"}));
  std::vector<Value> options;
  if (bound[0] != nullptr && bound[0]->AsList() != nullptr) {
    options = bound[0]->AsList()->items;
  } else if (bound[0] != nullptr) {
    options = {*bound[0]};
  }
  UNSWIFT_RETURN_IF_ERROR(runtime.budget.Step(static_cast<int64_t>(options.size())));
  bool found = false;
  for (const Value& option : options) {
    UNSWIFT_ASSIGN_OR_RETURN(const std::string* end, RequiredString(&option));
    found = found || (at_start ? text.starts_with(*end) : text.ends_with(*end));
  }
  if (bound[0] == nullptr) return Refuse("expected a string as the argument");
  return Value(found);
}

Result<Value> ReplaceIn(Runtime& runtime, const std::string& text, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(const Bound bound, arguments.Bind({"old", "new", "count"}));
  UNSWIFT_ASSIGN_OR_RETURN(const std::string* from, RequiredString(bound[0]));
  UNSWIFT_ASSIGN_OR_RETURN(const std::string* to, RequiredString(bound[1]));
  UNSWIFT_ASSIGN_OR_RETURN(const int64_t count, IntegerOr(bound[2], -1));
  // The largest that the result can become, before it is built.
  const size_t places = text.size() / std::max<size_t>(from->size(), 1) + 1;
  if (to->size() > from->size()) {
    size_t found = places;
    if (!from->empty()) {
      found = 0;
      for (size_t at = text.find(*from); at != text.npos; at = text.find(*from, at + from->size()))
        ++found;
    }
    UNSWIFT_RETURN_IF_ERROR(runtime.budget.Bytes(found * (to->size() - from->size())));
  }
  return MakeString(Replace(text, *from, *to, count), runtime.budget);
}

/// str.find and rfind; positions count characters.
template <bool from_right, bool required>
Result<Value> FindIn(Runtime& runtime, const std::string& text, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(const Bound bound, arguments.Bind({"sub"}));
  UNSWIFT_ASSIGN_OR_RETURN(const std::string* part, RequiredString(bound[0]));
  UNSWIFT_RETURN_IF_ERROR(runtime.budget.Step(1 + text.size() / 16));
  const size_t at = from_right ? text.rfind(*part) : text.find(*part);
  if (at != text.npos) {
    return Value(static_cast<int64_t>(CountCharacters(std::string_view(text).substr(0, at))));
  }
  if (required) return Refuse("expected the string to hold the argument, but it does not");
  return Value(int64_t{-1});
}

Result<Value> CountIn(Runtime& runtime, const std::string& text, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(const Bound bound, arguments.Bind({"sub"}));
  UNSWIFT_ASSIGN_OR_RETURN(const std::string* part, RequiredString(bound[0]));
  UNSWIFT_RETURN_IF_ERROR(runtime.budget.Step(1 + text.size() / 16));
  if (part->empty()) return Value(static_cast<int64_t>(CountCharacters(text) + 1));
  int64_t count = 0;
  for (size_t at = text.find(*part); at != text.npos; at = text.find(*part, at + part->size())) {
    ++count;
  }
  return Value(count);
}

Result<Value> JoinWith(Runtime& runtime, const std::string& text, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(const Bound bound, arguments.Bind({"iterable"}));
  if (bound[0] == nullptr) return Refuse("expected a list as the argument");
  UNSWIFT_ASSIGN_OR_RETURN(const std::vector<Value> parts, Elements(runtime, *bound[0]));
  std::string joined;
  for (size_t i = 0; i < parts.size(); ++i) {
    UNSWIFT_ASSIGN_OR_RETURN(const std::string* part, RequiredString(&parts[i]));
    UNSWIFT_RETURN_IF_ERROR(runtime.budget.Bytes(part->size() + text.size()));
    if (i > 0) joined += text;
    joined += *part;
  }
  return Value(std::move(joined));
}

Result<Value> LinesOf(Runtime& runtime, const std::string& text, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(const Bound bound, arguments.Bind({"keepends"}));
  UNSWIFT_RETURN_IF_ERROR(runtime.budget.Bytes(text.size()));
  return ListOf(SplitLines(text, bound[0] != nullptr && bound[0]->IsTrue()), runtime.budget);
}

template <bool prefix>
Result<Value> RemoveEnd(Runtime& runtime, const std::string& text, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(const Bound bound, arguments.Bind({"affix"}));
  UNSWIFT_ASSIGN_OR_RETURN(const std::string* end, RequiredString(bound[0]));
  std::string_view rest = text;
  if (prefix && rest.starts_with(*end)) rest.remove_prefix(end->size());
  if (!prefix && rest.ends_with(*end)) rest.remove_suffix(end->size());
  return MakeString(std::string(rest), runtime.budget);
}

/// The argument that a replacement field names: nothing (the next), a number or a name.
Result<const Value*> FieldOf(std::string_view field, const Arguments& arguments, size_t& next) {
  size_t index = 0;
  const char* const end = field.data() + field.size();
  if (field.empty()) {
    index = next++;
  } else if (const auto [stop, error] = std::from_chars(field.data(), end, index);
             error != std::errc() || stop != end) {
    for (const auto& [name, value] : arguments.named) {
      if (name == field) return &value;
    }
    return Refuse("format: expected {{}}, a number or the name of an argument in braces, got '{}'",
                  field);
  }
  if (index < arguments.positional.size()) return &arguments.positional[index];
  return Refuse("format: expected more than {} arguments", arguments.positional.size());
}

/// str.format without conversions and format specifications.
Result<Value> FormatWith(Runtime& runtime, const std::string& text, const Arguments& arguments) {
  std::string formatted;
  size_t next = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    UNSWIFT_RETURN_IF_ERROR(runtime.budget.Bytes(1));
    const bool brace = text[i] == '{' || text[i] == '}';
    if (!brace || (i + 1 < text.size() && text[i + 1] == text[i])) {
      formatted += text[i];
      i += brace;
      continue;
    }
    const size_t close = text.find('}', i);
    if (text[i] == '}' || close == text.npos) return Refuse("format: expected braces in pairs");
    const std::string_view field = std::string_view(text).substr(i + 1, close - i - 1);
    UNSWIFT_ASSIGN_OR_RETURN(const Value* value, FieldOf(field, arguments, next));
    UNSWIFT_ASSIGN_OR_RETURN(const std::string shown, ToText(*value, runtime.budget));
    formatted += shown;
    i = close;
  }
  return Value(std::move(formatted));
}

bool IsAlphaText(std::string_view text) { return AllAre(text, IsAlpha); }
bool IsDigitText(std::string_view text) { return AllAre(text, IsDigit); }
bool IsAlphanumericText(std::string_view text) { return AllAre(text, IsAlphanumeric); }
bool IsSpaceText(std::string_view text) { return AllAre(text, IsSpace); }

struct StringMethod {
  std::string_view name;
  Result<Value> (*call)(Runtime&, const std::string&, const Arguments&);
};

constexpr StringMethod kStringMethods[] = {
    {"strip", StripWith<Strip>},
    {"lstrip", StripWith<StripLeft>},
    {"rstrip", StripWith<StripRight>},
    {"split", SplitWith<Split>},
    {"rsplit", SplitWith<SplitFromRight>},
    {"splitlines", LinesOf},
    {"upper", MapWith<Upper>},
    {"lower", MapWith<Lower>},
    {"capitalize", MapWith<Capitalize>},
    {"title", MapWith<TitleOfMethod>},
    {"startswith", TestEnd<true>},
    {"endswith", TestEnd<false>},
    {"replace", ReplaceIn},
    {"find", FindIn<false, false>},
    {"rfind", FindIn<true, false>},
    {"index", FindIn<false, true>},
    {"rindex", FindIn<true, true>},
    {"count", CountIn},
    {"join", JoinWith},
    {"format", FormatWith},
    {"removeprefix", RemoveEnd<true>},
    {"removesuffix", RemoveEnd<false>},
    {"isalpha", TestWith<IsAlphaText>},
    {"isdigit", TestWith<IsDigitText>},
    {"isalnum", TestWith<IsAlphanumericText>},
    {"isspace", TestWith<IsSpaceText>},
    {"isupper", TestWith<IsUpper>},
    {"islower", TestWith<IsLower>},
};

Result<Value> PairsOf(Runtime& runtime, const Dict& dict) {
  std::vector<Value> pairs;
  for (const auto& [key, value] : dict.items()) {
    UNSWIFT_ASSIGN_OR_RETURN(Value pair, MakeList({key, value}, runtime.budget, true));
    pairs.push_back(std::move(pair));
  }
  return MakeList(std::move(pairs), runtime.budget);
}

Result<Value> CallDictMethod(Runtime& runtime, const Value& object, std::string_view name,
                             const Arguments& arguments) {
  const Dict& dict = *object.AsDict();
  if (name == "get") {
    UNSWIFT_ASSIGN_OR_RETURN(const Bound bound, arguments.Bind({"key", "default"}));
    if (bound[0] == nullptr) return Refuse("get: expected a key");
    if (const Value* found = dict.Find(*bound[0])) return *found;
    return bound[1] != nullptr ? *bound[1] : Value();
  }
  UNSWIFT_RETURN_IF_ERROR(arguments.Bind({}));
  if (name == "items") return PairsOf(runtime, dict);
  if (name == "copy") return object;
  std::vector<Value> parts;
  for (const auto& [key, value] : dict.items()) parts.push_back(name == "keys" ? key : value);
  return MakeList(std::move(parts), runtime.budget);
}

Result<Value> CallListMethod(Runtime& runtime, const Value& object, std::string_view name,
                             const Arguments& arguments) {
  if (name == "copy") return object;
  UNSWIFT_ASSIGN_OR_RETURN(const Bound bound, arguments.Bind({"value"}));
  if (bound[0] == nullptr) return Refuse("{}: expected a value", name);
  int64_t count = 0, place = 0;
  for (const Value& item : object.AsList()->items) {
    UNSWIFT_ASSIGN_OR_RETURN(const bool equal, Equal(item, *bound[0], runtime.budget));
    if (equal && name == "index") return Value(place);
    count += equal;
    ++place;
  }
  if (name == "index") return Refuse("index: expected a value of the list");
  return Value(count);
}

Result<Value> Cycle(const Loop& loop, const Arguments& arguments) {
  if (arguments.positional.empty()) return Refuse("cycle: expected values");
  return arguments.positional[loop.index0 % arguments.positional.size()];
}

}  // namespace

bool HasMethod(const Value& object, std::string_view name) {
  if (object.AsString() != nullptr) {
    return std::any_of(std::begin(kStringMethods), std::end(kStringMethods),
                       [&](const StringMethod& method) { return method.name == name; });
  }
  if (object.AsDict() != nullptr) {
    return name == "get" || name == "items" || name == "keys" || name == "values" || name == "copy";
  }
  if (const List* list = object.AsList()) {
    return name == "index" || name == "count" || (name == "copy" && !list->is_tuple);
  }
  return object.As<std::shared_ptr<const Loop>>() != nullptr && name == "cycle";
}

Result<Value> CallMethod(Runtime& runtime, const Value& object, std::string_view name,
                         const Arguments& arguments) {
  if (const std::string* text = object.AsString()) {
    for (const StringMethod& method : kStringMethods) {
      if (method.name == name) return method.call(runtime, *text, arguments);
    }
  }
  if (object.AsDict() != nullptr) return CallDictMethod(runtime, object, name, arguments);
  if (object.AsList() != nullptr) return CallListMethod(runtime, object, name, arguments);
  return Cycle(**object.As<std::shared_ptr<const Loop>>(), arguments);
}

}  // namespace unswift::jinja
