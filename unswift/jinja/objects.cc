// Attributes, items, slices, membership and arithmetic.
#include <algorithm>
#include <array>
#include <cmath>

#include "unswift/jinja/methods.h"
#include "unswift/jinja/runtime.h"
#include "unswift/jinja/text.h"

namespace unswift::jinja {
namespace {

Value Missing(const Value& object, std::string_view name) {
  return Undefined{fmt::format("'{} object' has no attribute '{}'", object.TypeName(), name)};
}

Value LoopAttribute(const Value& object, const Loop& loop, std::string_view name) {
  const int64_t length = static_cast<int64_t>(loop.items->items.size());
  if (name == "index") return Value(loop.index0 + 1);
  if (name == "index0") return Value(loop.index0);
  if (name == "revindex") return Value(length - loop.index0);
  if (name == "revindex0") return Value(length - loop.index0 - 1);
  if (name == "first") return Value(loop.index0 == 0);
  if (name == "last") return Value(loop.index0 + 1 == length);
  if (name == "length") return Value(length);
  if (name == "depth") return Value(int64_t{1});  // counts recursive loops only
  if (name == "depth0") return Value(int64_t{0});
  if (name == "previtem" && loop.index0 > 0) return loop.items->items[loop.index0 - 1];
  if (name == "nextitem" && loop.index0 + 1 < length) return loop.items->items[loop.index0 + 1];
  if (name == "previtem" || name == "nextitem") return Undefined{"there is no such item"};
  return Missing(object, name);
}

/// The place of a Python index; -1 when outside.
int64_t Place(int64_t index, size_t size) {
  const int64_t length = static_cast<int64_t>(size);
  if (index < 0) index += length;
  return index >= 0 && index < length ? index : -1;
}

struct SliceBounds {
  int64_t start, stop, step;
};

/// Python's slice.indices(length).
Result<SliceBounds> ResolveSlice(const Value& start, const Value& stop, const Value& step,
                                 int64_t length) {
  for (const Value* bound : {&start, &stop, &step}) {
    if (!bound->IsNone() && !bound->IsInteger()) {
      return Refuse("expected integers in a slice, got {}", bound->TypeName());
    }
  }
  SliceBounds bounds = {0, 0, step.IsNone() ? 1 : step.ToInt()};
  if (bounds.step == 0) return Refuse("expected a slice step other than 0");
  const bool forward = bounds.step > 0;
  const int64_t lowest = forward ? 0 : -1, highest = forward ? length : length - 1;
  const auto clamp = [&](const Value& bound, int64_t fallback) {
    if (bound.IsNone()) return fallback;
    const int64_t index = bound.ToInt();
    return std::clamp(index < 0 ? (index < -length ? lowest : index + length) : index, lowest,
                      highest);
  };
  bounds.start = clamp(start, forward ? 0 : highest);
  bounds.stop = clamp(stop, forward ? length : lowest);
  return bounds;
}

template <typename Take>
void ForEachOfSlice(const SliceBounds& bounds, Take take) {
  // A step beyond the length ends the walk at once; the sum cannot overflow then.
  for (int64_t i = bounds.start; bounds.step > 0 ? i < bounds.stop : i > bounds.stop;) {
    take(i);
    if (__builtin_add_overflow(i, bounds.step, &i)) break;
  }
}

Result<Value> Sum(Runtime& runtime, const Value& left, const Value& right) {
  const std::string *a = left.AsString(), *b = right.AsString();
  if (a != nullptr && b != nullptr) return MakeString(*a + *b, runtime.budget);
  const List *first = left.AsList(), *second = right.AsList();
  if (first != nullptr && second != nullptr && first->is_tuple == second->is_tuple) {
    std::vector<Value> items = first->items;
    items.insert(items.end(), second->items.begin(), second->items.end());
    return MakeList(std::move(items), runtime.budget, first->is_tuple);
  }
  return Refuse("cannot add {} and {}", left.TypeName(), right.TypeName());
}

Result<Value> Repeat(Runtime& runtime, const Value& value, int64_t count) {
  count = std::max<int64_t>(count, 0);
  const std::string* text = value.AsString();
  const List* list = value.AsList();
  const size_t length = text != nullptr ? text->size() : list->items.size() * sizeof(Value);
  if (length == 0) count = 0;
  // Before anything is built.
  UNSWIFT_RETURN_IF_ERROR(
      runtime.budget.Bytes(count > INT32_MAX ? SIZE_MAX : length * static_cast<size_t>(count)));
  if (text != nullptr) {
    std::string repeated;
    for (int64_t i = 0; i < count; ++i) repeated += *text;
    return Value(std::move(repeated));
  }
  std::vector<Value> items;
  for (int64_t i = 0; i < count; ++i) {
    items.insert(items.end(), list->items.begin(), list->items.end());
  }
  return MakeList(std::move(items), runtime.budget, list->is_tuple);
}

Result<Value> IntegerPower(int64_t base, int64_t exponent) {
  int64_t power = 1;
  if (base == 0 || base == 1) return Value(exponent == 0 ? int64_t{1} : base);
  if (base == -1) return Value(int64_t{exponent % 2 == 0 ? 1 : -1});
  for (int64_t i = 0; i < exponent; ++i) {  // overflows within 63 rounds
    if (__builtin_mul_overflow(power, base, &power)) return Refuse("an integer exceeds 64 bits");
  }
  return Value(power);
}

Result<Value> OfIntegers(std::string_view symbol, int64_t a, int64_t b) {
  int64_t result = 0;
  if (symbol == "**") return IntegerPower(a, b);
  if (symbol == "//" || symbol == "%") {
    if (b == 0) return Refuse("division by zero");
    if (b == -1) {  // INT64_MIN / -1
      if (symbol == "%") return Value(int64_t{0});
      if (__builtin_sub_overflow(int64_t{0}, a, &result)) {
        return Refuse("an integer exceeds 64 bits");
      }
      return Value(result);
    }
    const bool round_down = a % b != 0 && (a % b < 0) != (b < 0);
    if (symbol == "//") return Value(a / b - (round_down ? 1 : 0));
    return Value(a % b + (round_down ? b : 0));
  }
  const bool overflows = symbol == "+"   ? __builtin_add_overflow(a, b, &result)
                         : symbol == "-" ? __builtin_sub_overflow(a, b, &result)
                                         : __builtin_mul_overflow(a, b, &result);
  if (overflows) return Refuse("an integer exceeds 64 bits");
  return Value(result);
}

Result<Value> OfFloats(std::string_view symbol, double a, double b) {
  if (symbol == "+") return Value(a + b);
  if (symbol == "-") return Value(a - b);
  if (symbol == "*") return Value(a * b);
  if (symbol == "**") return Value(std::pow(a, b));
  if (b == 0.0) return Refuse("division by zero");
  if (symbol == "/") return Value(a / b);
  double remainder = std::fmod(a, b);
  if (remainder != 0.0 && (remainder < 0) != (b < 0)) remainder += b;
  if (symbol == "%") return Value(remainder);
  return Value(std::round((a - remainder) / b));
}

}  // namespace

tl::unexpected<Error> RefuseUndefined(const Value& value) {
  return Refuse("{}", value.As<Undefined>()->why);
}

Result<Value> GetAttribute(const Value& object, std::string_view name) {
  if (object.IsUndefined()) return RefuseUndefined(object);
  if (const auto* loop = object.As<std::shared_ptr<const Loop>>()) {
    if (name != "cycle") return LoopAttribute(object, **loop, name);
  }
  if (HasMethod(object, name)) {
    return Value(
        std::make_shared<const Callable>(Callable{Callable::kMethod, std::string(name), object}));
  }
  if (const Dict* dict = object.AsDict()) {
    const Value* found = dict->Find(name);
    return found != nullptr ? *found : Missing(object, name);
  }
  if (const auto* space = object.As<Namespace*>()) {
    const auto found = (*space)->attributes.find(std::string(name));
    return found != (*space)->attributes.end() ? found->second : Missing(object, name);
  }
  return Missing(object, name);
}

Result<Value> GetItem(Runtime& runtime, const Value& object, const Value& key) {
  if (object.IsUndefined()) return RefuseUndefined(object);
  if (const Dict* dict = object.AsDict()) {
    if (const Value* found = dict->Find(key)) return *found;
  }
  if (key.IsInteger()) {
    if (const List* list = object.AsList()) {
      const int64_t place = Place(key.ToInt(), list->items.size());
      return place >= 0 ? list->items[place] : Undefined{"a list has no such element"};
    }
    if (const std::string* text = object.AsString()) {
      UNSWIFT_RETURN_IF_ERROR(runtime.budget.Step(1 + text->size() / 16));
      const std::vector<std::string_view> characters = Characters(*text);
      const int64_t place = Place(key.ToInt(), characters.size());
      return place >= 0 ? Value(characters[place]) : Undefined{"a string has no such character"};
    }
  }
  if (const std::string* name = key.AsString()) return GetAttribute(object, *name);
  return Value(Undefined{fmt::format("{} has no such element", object.TypeName())});
}

Result<Value> GetSlice(Runtime& runtime, const Value& object, const Value& start, const Value& stop,
                       const Value& step) {
  if (object.IsUndefined()) return RefuseUndefined(object);
  if (const List* list = object.AsList()) {
    UNSWIFT_ASSIGN_OR_RETURN(
        const SliceBounds bounds,
        ResolveSlice(start, stop, step, static_cast<int64_t>(list->items.size())));
    std::vector<Value> items;
    ForEachOfSlice(bounds, [&](int64_t i) { items.push_back(list->items[i]); });
    return MakeList(std::move(items), runtime.budget, list->is_tuple);
  }
  if (const std::string* text = object.AsString()) {
    UNSWIFT_RETURN_IF_ERROR(runtime.budget.Step(1 + text->size() / 16));
    const std::vector<std::string_view> characters = Characters(*text);
    UNSWIFT_ASSIGN_OR_RETURN(
        const SliceBounds bounds,
        ResolveSlice(start, stop, step, static_cast<int64_t>(characters.size())));
    std::string slice;
    ForEachOfSlice(bounds, [&](int64_t i) { slice += characters[i]; });
    return MakeString(std::move(slice), runtime.budget);
  }
  return Value(Undefined{fmt::format("{} cannot be sliced", object.TypeName())});
}

Result<bool> Contains(Runtime& runtime, const Value& container, const Value& item) {
  if (container.IsUndefined()) return false;
  if (const std::string* text = container.AsString()) {
    const std::string* part = item.AsString();
    if (part == nullptr) return Refuse("expected a string before 'in', got {}", item.TypeName());
    UNSWIFT_RETURN_IF_ERROR(runtime.budget.Step(1 + text->size() / 16));
    return text->find(*part) != text->npos;
  }
  if (const Dict* dict = container.AsDict()) return dict->Find(item) != nullptr;
  const List* list = container.AsList();
  if (list == nullptr) return Refuse("{} contains nothing", container.TypeName());
  for (const Value& element : list->items) {
    UNSWIFT_ASSIGN_OR_RETURN(const bool equal, Equal(element, item, runtime.budget));
    if (equal) return true;
  }
  return false;
}

Result<std::vector<Value>> Elements(Runtime& runtime, const Value& value) {
  std::vector<Value> elements;
  if (value.IsUndefined()) return elements;
  if (const List* list = value.AsList()) {
    elements = list->items;
  } else if (const Dict* dict = value.AsDict()) {
    for (const auto& item : dict->items()) elements.push_back(item.first);
  } else if (const std::string* text = value.AsString()) {
    UNSWIFT_RETURN_IF_ERROR(runtime.budget.Bytes(text->size() * sizeof(Value)));
    for (std::string_view character : Characters(*text)) elements.emplace_back(character);
  } else {
    return Refuse("{} cannot be iterated over", value.TypeName());
  }
  UNSWIFT_RETURN_IF_ERROR(runtime.budget.Bytes(elements.size() * sizeof(Value)));
  return elements;
}

Result<Value> Arithmetic(Runtime& runtime, std::string_view symbol, const Value& left,
                         const Value& right) {
  for (const Value* operand : {&left, &right}) {
    if (operand->IsUndefined()) return RefuseUndefined(*operand);
  }
  if (left.IsNumber() && right.IsNumber()) {
    const bool negative_power = symbol == "**" && right.ToDouble() < 0;
    if (left.IsInteger() && right.IsInteger() && symbol != "/" && !negative_power) {
      return OfIntegers(symbol, left.ToInt(), right.ToInt());
    }
    return OfFloats(symbol, left.ToDouble(), right.ToDouble());
  }
  if (symbol == "+") return Sum(runtime, left, right);
  if (symbol == "*") {
    const auto repeatable = [](const Value& value) {
      return value.AsString() != nullptr || value.AsList() != nullptr;
    };
    if (repeatable(left) && right.IsInteger()) return Repeat(runtime, left, right.ToInt());
    if (repeatable(right) && left.IsInteger()) return Repeat(runtime, right, left.ToInt());
  }
  if (symbol == "%" && left.AsString() != nullptr) {
    return MakeError(ErrorCode::kUnsupported, "formatting with % is not supported");
  }
  return Refuse("cannot compute {} {} {}", left.TypeName(), symbol, right.TypeName());
}

}  // namespace unswift::jinja
