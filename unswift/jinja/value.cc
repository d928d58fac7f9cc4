#include "unswift/jinja/value.h"

#include <algorithm>

#include "unswift/io/json.h"
#include "unswift/jinja/runtime.h"

namespace unswift::jinja {
namespace {

/// Text that is equal for equal keys; empty for a value that Python cannot hash (or that has no
/// business as a key here).
std::string KeyText(const Value& key) {
  if (const std::string* text = key.AsString()) return std::string("s").append(*text);
  if (key.IsInteger()) return std::string("i").append(std::to_string(key.ToInt()));
  if (key.IsNone()) return "n";
  return {};
}

template <typename Items, typename DepthOf>
Result<int> DepthAbove(const Items& items, DepthOf depth_of) {
  int deepest = 0;
  for (const auto& item : items) deepest = std::max(deepest, depth_of(item));
  if (deepest < Limits::kMaxValueDepth) return deepest + 1;
  return MakeError(ErrorCode::kInvalidData, "expected at most {} levels of lists and dicts",
                   Limits::kMaxValueDepth);
}

Result<Value> ArrayFromJson(const OrderedJson& json, Budget& budget) {
  std::vector<Value> items;
  items.reserve(json.size());
  for (const OrderedJson& element : json) {
    UNSWIFT_ASSIGN_OR_RETURN(Value item, FromJson(element, budget));
    items.push_back(std::move(item));
  }
  return MakeList(std::move(items), budget);
}

Result<Value> ObjectFromJson(const OrderedJson& json, Budget& budget) {
  Dict dict;
  for (const auto& [key, element] : json.items()) {
    UNSWIFT_ASSIGN_OR_RETURN(Value item, FromJson(element, budget));
    UNSWIFT_RETURN_IF_ERROR(budget.Bytes(key.size()));
    UNSWIFT_RETURN_IF_ERROR(dict.Set(Value(key), std::move(item)));
  }
  return MakeDict(std::move(dict), budget);
}

Result<bool> EqualLists(const List& a, const List& b, Budget& budget) {
  if (a.is_tuple != b.is_tuple || a.items.size() != b.items.size()) return false;
  for (size_t i = 0; i < a.items.size(); ++i) {
    UNSWIFT_ASSIGN_OR_RETURN(const bool equal, Equal(a.items[i], b.items[i], budget));
    if (!equal) return false;
  }
  return true;
}

Result<bool> EqualDicts(const Dict& a, const Dict& b, Budget& budget) {
  if (a.items().size() != b.items().size()) return false;
  for (const auto& [key, value] : a.items()) {
    const Value* other = b.Find(key);
    if (other == nullptr) return false;
    UNSWIFT_ASSIGN_OR_RETURN(const bool equal, Equal(value, *other, budget));
    if (!equal) return false;
  }
  return true;
}

}  // namespace

const Value* Dict::Find(const Value& key) const {
  const std::string text = KeyText(key);
  const auto found = text.empty() ? index_.end() : index_.find(text);
  return found == index_.end() ? nullptr : &items_[found->second].second;
}

const Value* Dict::Find(std::string_view key) const {
  const auto found = index_.find(std::string("s").append(key));
  return found == index_.end() ? nullptr : &items_[found->second].second;
}

Result<> Dict::Set(const Value& key, Value value) {
  std::string text = KeyText(key);
  if (text.empty()) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "expected a string, an integer or none as a dict's key, got {}",
                     key.TypeName());
  }
  const auto [found, inserted] = index_.emplace(std::move(text), items_.size());
  if (inserted) {
    items_.emplace_back(key, std::move(value));
  } else {
    items_[found->second].second = std::move(value);
  }
  return {};
}

const std::string* Value::AsString() const {
  const String* text = As<String>();
  return text != nullptr ? text->get() : nullptr;
}

const List* Value::AsList() const {
  const auto* list = As<std::shared_ptr<const List>>();
  return list != nullptr ? list->get() : nullptr;
}

const Dict* Value::AsDict() const {
  const auto* dict = As<std::shared_ptr<const Dict>>();
  return dict != nullptr ? dict->get() : nullptr;
}

int64_t Value::ToInt() const {
  const bool* flag = As<bool>();
  return flag != nullptr ? *flag : *AsInt();
}

double Value::ToDouble() const {
  const double* number = As<double>();
  return number != nullptr ? *number : static_cast<double>(ToInt());
}

bool Value::IsTrue() const {
  if (IsUndefined() || IsNone()) return false;
  if (IsNumber()) return ToDouble() != 0.0;
  if (const std::string* text = AsString()) return !text->empty();
  if (const List* list = AsList()) return !list->items.empty();
  if (const Dict* dict = AsDict()) return !dict->items().empty();
  return true;
}

int Value::depth() const {
  if (const List* list = AsList()) return list->depth;
  if (const Dict* dict = AsDict()) return dict->depth;
  if (const auto* callable = As<std::shared_ptr<const Callable>>()) {
    return (*callable)->object.depth() + 1;
  }
  if (const auto* loop = As<std::shared_ptr<const Loop>>()) return (*loop)->items->depth + 1;
  return 0;
}

std::string_view Value::TypeName() const {
  constexpr std::string_view kNames[] = {"undefined",
                                         "none",
                                         "bool",
                                         "int",
                                         "float",
                                         "str",
                                         "list",
                                         "dict",
                                         "namespace",
                                         "loop",
                                         "macro or function"};
  const List* list = AsList();
  return list != nullptr && list->is_tuple ? "tuple" : kNames[held_.index()];
}

Result<Value> MakeList(std::vector<Value> items, Budget& budget, bool is_tuple) {
  UNSWIFT_RETURN_IF_ERROR(budget.Bytes(sizeof(List) + items.size() * sizeof(Value)));
  UNSWIFT_ASSIGN_OR_RETURN(const int depth,
                           DepthAbove(items, [](const Value& item) { return item.depth(); }));
  return Value(std::make_shared<const List>(List{std::move(items), is_tuple, depth}));
}

Result<Value> MakeDict(Dict dict, Budget& budget) {
  UNSWIFT_RETURN_IF_ERROR(budget.Bytes(sizeof(Dict) + dict.items().size() * 4 * sizeof(Value)));
  UNSWIFT_ASSIGN_OR_RETURN(
      dict.depth, DepthAbove(dict.items(), [](const auto& item) { return item.second.depth(); }));
  return Value(std::make_shared<const Dict>(std::move(dict)));
}

Result<Value> FromJson(const OrderedJson& json, Budget& budget) {
  UNSWIFT_RETURN_IF_ERROR(budget.Step());
  switch (json.type()) {
    case OrderedJson::value_t::boolean:
      return Value(json.get<bool>());
    case OrderedJson::value_t::number_unsigned:
      // Beyond int64 Python would still have an integer; nothing in a conversation needs one.
      if (json.get<uint64_t>() > INT64_MAX) return Value(json.get<double>());
      return Value(json.get<int64_t>());
    case OrderedJson::value_t::number_integer:
      return Value(json.get<int64_t>());
    case OrderedJson::value_t::number_float:
      return Value(json.get<double>());
    case OrderedJson::value_t::string: {
      const auto& text = json.get_ref<const std::string&>();
      UNSWIFT_RETURN_IF_ERROR(budget.Bytes(text.size()));
      return Value(text);
    }
    case OrderedJson::value_t::array:
      return ArrayFromJson(json, budget);
    case OrderedJson::value_t::object:
      return ObjectFromJson(json, budget);
    default:
      return Value();
  }
}

Result<bool> Equal(const Value& a, const Value& b, Budget& budget) {
  UNSWIFT_RETURN_IF_ERROR(budget.Step());
  if (a.IsNumber() && b.IsNumber()) {
    if (a.IsInteger() && b.IsInteger()) return a.ToInt() == b.ToInt();
    return a.ToDouble() == b.ToDouble();
  }
  if (a.AsString() != nullptr && b.AsString() != nullptr) return *a.AsString() == *b.AsString();
  if (a.AsList() != nullptr && b.AsList() != nullptr) {
    return EqualLists(*a.AsList(), *b.AsList(), budget);
  }
  if (a.AsDict() != nullptr && b.AsDict() != nullptr) {
    return EqualDicts(*a.AsDict(), *b.AsDict(), budget);
  }
  if (const auto* space = a.As<Namespace*>()) {
    return b.As<Namespace*>() != nullptr && *b.As<Namespace*>() == *space;
  }
  return (a.IsNone() && b.IsNone()) || (a.IsUndefined() && b.IsUndefined());
}

Result<bool> Less(const Value& a, const Value& b, Budget& budget) {
  UNSWIFT_RETURN_IF_ERROR(budget.Step());
  if (a.IsInteger() && b.IsInteger()) return a.ToInt() < b.ToInt();
  if (a.IsNumber() && b.IsNumber()) return a.ToDouble() < b.ToDouble();
  // Bytes of UTF-8 sort as their code points do.
  if (a.AsString() != nullptr && b.AsString() != nullptr) return *a.AsString() < *b.AsString();
  const List *left = a.AsList(), *right = b.AsList();
  if (left != nullptr && right != nullptr && left->is_tuple == right->is_tuple) {
    const size_t common = std::min(left->items.size(), right->items.size());
    for (size_t i = 0; i < common; ++i) {
      UNSWIFT_ASSIGN_OR_RETURN(const bool equal, Equal(left->items[i], right->items[i], budget));
      if (!equal) return Less(left->items[i], right->items[i], budget);
    }
    return left->items.size() < right->items.size();
  }
  return MakeError(ErrorCode::kInvalidArgument, "cannot order {} and {}", a.TypeName(),
                   b.TypeName());
}

}  // namespace unswift::jinja
