// Filters over lists, dicts and strings.
#include <algorithm>
#include <charconv>
#include <optional>

#include "unswift/jinja/filters.h"
#include "unswift/jinja/text.h"

namespace unswift::jinja {
namespace {

using Bound = std::vector<const Value*>;
using Values = std::vector<Value>;

bool IsGiven(const Value* value) { return value != nullptr && !value->IsNone(); }

/// The attribute that a filter's argument names: "a.b", "0" or an integer; with `fallback` for
/// what is undefined. Without an attribute the item itself.
Result<Value> Look(Runtime& runtime, Value item, const Value* attribute,
                   const Value* fallback = nullptr) {
  if (!IsGiven(attribute)) return item;
  Values keys;
  if (const std::string* path = attribute->AsString()) {
    const std::string dot = ".";
    for (std::string_view part : Split(*path, &dot, -1)) {
      int64_t index = 0;
      const char* const end = part.data() + part.size();
      const bool digits = !part.empty() && part.find_first_not_of("0123456789") == part.npos &&
                          std::from_chars(part.data(), end, index).ec == std::errc();
      keys.push_back(digits ? Value(index) : Value(part));
    }
  } else {
    keys = {*attribute};
  }
  for (const Value& key : keys) {
    UNSWIFT_ASSIGN_OR_RETURN(item, GetItem(runtime, item, key));
    if (fallback != nullptr && item.IsUndefined()) item = *fallback;
  }
  return item;
}

Result<Value> Length(Runtime& runtime, const Value& input, const Arguments& arguments) {
  UNSWIFT_RETURN_IF_ERROR(arguments.Bind({}));
  if (const std::string* text = input.AsString()) {
    UNSWIFT_RETURN_IF_ERROR(runtime.budget.Step(1 + text->size() / 16));
    return Value(static_cast<int64_t>(CountCharacters(*text)));
  }
  if (const List* list = input.AsList()) return Value(static_cast<int64_t>(list->items.size()));
  if (const Dict* dict = input.AsDict()) {
    return Value(static_cast<int64_t>(dict->items().size()));
  }
  if (input.IsUndefined()) return Value(int64_t{0});
  return Refuse("length: {} has none", input.TypeName());
}

Result<Value> Join(Runtime& runtime, const Value& input, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(const Bound bound, arguments.Bind({"d", "attribute"}));
  UNSWIFT_ASSIGN_OR_RETURN(const Values items, Elements(runtime, input));
  std::string separator, joined;
  if (bound[0] != nullptr) {
    UNSWIFT_ASSIGN_OR_RETURN(separator, ToText(*bound[0], runtime.budget));
  }
  for (size_t i = 0; i < items.size(); ++i) {
    UNSWIFT_ASSIGN_OR_RETURN(const Value item, Look(runtime, items[i], bound[1]));
    UNSWIFT_ASSIGN_OR_RETURN(const std::string text, ToText(item, runtime.budget));
    UNSWIFT_RETURN_IF_ERROR(runtime.budget.Bytes(separator.size()));
    if (i > 0) joined += separator;
    joined += text;
  }
  return Value(std::move(joined));
}

Result<Value> ItemsOf(Runtime& runtime, const Value& input, const Arguments& arguments) {
  UNSWIFT_RETURN_IF_ERROR(arguments.Bind({}));
  if (input.IsUndefined()) return MakeList({}, runtime.budget);
  if (input.AsDict() == nullptr) return Refuse("items: expected a dict, got {}", input.TypeName());
  return CallMethod(runtime, input, "items", {});
}

Result<Value> ListOf(Runtime& runtime, const Value& input, const Arguments& arguments) {
  UNSWIFT_RETURN_IF_ERROR(arguments.Bind({}));
  UNSWIFT_ASSIGN_OR_RETURN(Values items, Elements(runtime, input));
  return MakeList(std::move(items), runtime.budget);
}

Result<Value> First(Runtime& runtime, const Value& input, const Arguments& arguments) {
  UNSWIFT_RETURN_IF_ERROR(arguments.Bind({}));
  UNSWIFT_ASSIGN_OR_RETURN(const Values items, Elements(runtime, input));
  return items.empty() ? Value(Undefined{"an empty sequence has no first item"}) : items.front();
}

Result<Value> Last(Runtime& runtime, const Value& input, const Arguments& arguments) {
  UNSWIFT_RETURN_IF_ERROR(arguments.Bind({}));
  UNSWIFT_ASSIGN_OR_RETURN(const Values items, Elements(runtime, input));
  return items.empty() ? Value(Undefined{"an empty sequence has no last item"}) : items.back();
}

Result<Value> Reverse(Runtime& runtime, const Value& input, const Arguments& arguments) {
  UNSWIFT_RETURN_IF_ERROR(arguments.Bind({}));
  UNSWIFT_ASSIGN_OR_RETURN(Values items, Elements(runtime, input));
  std::reverse(items.begin(), items.end());
  if (input.AsString() == nullptr) return MakeList(std::move(items), runtime.budget);
  std::string text;
  for (const Value& item : items) text += *item.AsString();
  return MakeString(std::move(text), runtime.budget);
}

/// Filters and tests that take a name and its arguments: map, select, reject, ...
Arguments Rest(const Arguments& arguments, size_t used) {
  return {{arguments.positional.begin() + used, arguments.positional.end()}, arguments.named};
}

/// What is false has no items, also none: so Jinja has it for these filters alone.
Result<Values> ElementsIfTrue(Runtime& runtime, const Value& input) {
  if (!input.IsTrue()) return Values();
  return Elements(runtime, input);
}

Result<Value> Map(Runtime& runtime, const Value& input, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(Values items, ElementsIfTrue(runtime, input));
  if (arguments.positional.empty()) {
    UNSWIFT_ASSIGN_OR_RETURN(const Bound bound, arguments.Bind({"attribute", "default"}));
    if (bound[0] == nullptr) return Refuse("map: expected a filter or an attribute");
    for (Value& item : items) {
      UNSWIFT_ASSIGN_OR_RETURN(item, Look(runtime, std::move(item), bound[0], bound[1]));
    }
  } else {
    const std::string* name = arguments.positional[0].AsString();
    if (name == nullptr) return Refuse("map: expected the name of a filter");
    const Arguments rest = Rest(arguments, 1);
    for (Value& item : items) {
      UNSWIFT_ASSIGN_OR_RETURN(item, ApplyFilter(runtime, *name, item, rest));
    }
  }
  return MakeList(std::move(items), runtime.budget);
}

/// `by_attribute`: the first argument names an attribute. Keeps items whose test gives `wanted`;
/// without a test, whose truth does.
template <bool by_attribute, bool wanted>
Result<Value> Select(Runtime& runtime, const Value& input, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(const Values items, ElementsIfTrue(runtime, input));
  constexpr size_t kTest = by_attribute ? 1 : 0;
  const std::vector<Value>& given = arguments.positional;
  if (by_attribute && given.empty()) return Refuse("expected the name of an attribute");
  const std::string* test = given.size() > kTest ? given[kTest].AsString() : nullptr;
  if (given.size() > kTest && test == nullptr) return Refuse("expected the name of a test");
  const Arguments rest = test != nullptr ? Rest(arguments, kTest + 1) : Arguments{};
  Values selected;
  for (const Value& item : items) {
    UNSWIFT_RETURN_IF_ERROR(runtime.budget.Step());
    UNSWIFT_ASSIGN_OR_RETURN(const Value value,
                             Look(runtime, item, by_attribute ? &given[0] : nullptr));
    bool holds = value.IsTrue();
    if (test != nullptr) {
      UNSWIFT_ASSIGN_OR_RETURN(holds, ApplyTest(runtime, *test, value, rest));
    }
    if (holds == wanted) selected.push_back(item);
  }
  return MakeList(std::move(selected), runtime.budget);
}

/// What items are compared by: the attribute, in lower case unless case_sensitive.
Result<Value> SortKey(Runtime& runtime, const Value& item, const Value* attribute,
                      const Value* case_sensitive) {
  UNSWIFT_ASSIGN_OR_RETURN(Value key, Look(runtime, item, attribute));
  const bool fold = case_sensitive == nullptr || !case_sensitive->IsTrue();
  if (!fold || key.AsString() == nullptr) return key;
  return MakeString(Lower(*key.AsString()), runtime.budget);
}

struct Keyed {
  Value key, item;
};

Result<std::vector<Keyed>> WithKeys(Runtime& runtime, const Values& items, const Value* attribute,
                                    const Value* case_sensitive) {
  std::vector<Keyed> keyed;
  for (const Value& item : items) {
    UNSWIFT_ASSIGN_OR_RETURN(Value key, SortKey(runtime, item, attribute, case_sensitive));
    keyed.push_back({std::move(key), item});
  }
  return keyed;
}

Result<Value> SortKeyed(Runtime& runtime, std::vector<Keyed> keyed, bool reverse) {
  std::optional<Error> error;
  std::stable_sort(keyed.begin(), keyed.end(), [&](const Keyed& a, const Keyed& b) {
    if (error) return false;
    const Result<bool> less =
        reverse ? Less(b.key, a.key, runtime.budget) : Less(a.key, b.key, runtime.budget);
    if (!less) error = less.error();
    return less && *less;
  });
  if (error) return tl::unexpected<Error>(*std::move(error));
  Values sorted;
  for (Keyed& entry : keyed) sorted.push_back(std::move(entry.item));
  return MakeList(std::move(sorted), runtime.budget);
}

Result<Value> Sort(Runtime& runtime, const Value& input, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(const Bound bound,
                           arguments.Bind({"reverse", "case_sensitive", "attribute"}));
  UNSWIFT_ASSIGN_OR_RETURN(const Values items, Elements(runtime, input));
  UNSWIFT_ASSIGN_OR_RETURN(std::vector<Keyed> keyed, WithKeys(runtime, items, bound[2], bound[1]));
  return SortKeyed(runtime, std::move(keyed), bound[0] != nullptr && bound[0]->IsTrue());
}

Result<Value> SortDict(Runtime& runtime, const Value& input, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(const Bound bound, arguments.Bind({"case_sensitive", "by", "reverse"}));
  UNSWIFT_ASSIGN_OR_RETURN(const Value pairs, ItemsOf(runtime, input, {}));
  const bool by_value =
      bound[1] != nullptr && bound[1]->AsString() != nullptr && *bound[1]->AsString() == "value";
  const Value place(int64_t{by_value ? 1 : 0});
  UNSWIFT_ASSIGN_OR_RETURN(std::vector<Keyed> keyed,
                           WithKeys(runtime, pairs.AsList()->items, &place, bound[0]));
  return SortKeyed(runtime, std::move(keyed), bound[2] != nullptr && bound[2]->IsTrue());
}

Result<Value> Unique(Runtime& runtime, const Value& input, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(const Bound bound, arguments.Bind({"case_sensitive", "attribute"}));
  UNSWIFT_ASSIGN_OR_RETURN(const Values items, Elements(runtime, input));
  Values unique;
  Dict seen;
  for (const Value& item : items) {
    UNSWIFT_ASSIGN_OR_RETURN(const Value key, SortKey(runtime, item, bound[1], bound[0]));
    if (seen.Find(key) != nullptr) continue;
    UNSWIFT_RETURN_IF_ERROR(seen.Set(key, Value()));
    unique.push_back(item);
  }
  return MakeList(std::move(unique), runtime.budget);
}

template <bool largest>
Result<Value> Extreme(Runtime& runtime, const Value& input, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(const Bound bound, arguments.Bind({"case_sensitive", "attribute"}));
  UNSWIFT_ASSIGN_OR_RETURN(const Values items, Elements(runtime, input));
  UNSWIFT_ASSIGN_OR_RETURN(const std::vector<Keyed> keyed,
                           WithKeys(runtime, items, bound[1], bound[0]));
  if (keyed.empty()) return Value(Undefined{"an empty sequence has no least or greatest item"});
  const Keyed* best = &keyed[0];
  for (const Keyed& entry : keyed) {
    UNSWIFT_ASSIGN_OR_RETURN(const bool better, largest
                                                    ? Less(best->key, entry.key, runtime.budget)
                                                    : Less(entry.key, best->key, runtime.budget));
    if (better) best = &entry;
  }
  return best->item;
}

Result<Value> Sum(Runtime& runtime, const Value& input, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(const Bound bound, arguments.Bind({"attribute", "start"}));
  UNSWIFT_ASSIGN_OR_RETURN(const Values items, Elements(runtime, input));
  Value sum = bound[1] != nullptr ? *bound[1] : Value(int64_t{0});
  for (const Value& item : items) {
    UNSWIFT_ASSIGN_OR_RETURN(const Value term, Look(runtime, item, bound[0]));
    UNSWIFT_ASSIGN_OR_RETURN(sum, Arithmetic(runtime, "+", sum, term));
  }
  return sum;
}

Result<Value> Attribute(Runtime&, const Value& input, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(const Bound bound, arguments.Bind({"name"}));
  if (bound[0] == nullptr || bound[0]->AsString() == nullptr) {
    return Refuse("attr: expected a name");
  }
  return GetAttribute(input, *bound[0]->AsString());
}

constexpr FilterRow kFilters[] = {
    {"length", Length},
    {"count", Length},
    {"join", Join},
    {"items", ItemsOf},
    {"list", ListOf},
    {"first", First},
    {"last", Last},
    {"reverse", Reverse},
    {"map", Map},
    {"select", Select<false, true>},
    {"reject", Select<false, false>},
    {"selectattr", Select<true, true>},
    {"rejectattr", Select<true, false>},
    {"sort", Sort},
    {"dictsort", SortDict},
    {"unique", Unique},
    {"min", Extreme<false>},
    {"max", Extreme<true>},
    {"sum", Sum},
    {"attr", Attribute},
};

}  // namespace

std::span<const FilterRow> SequenceFilters() { return kFilters; }

}  // namespace unswift::jinja
