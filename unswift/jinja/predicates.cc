// Tests: `x is name`.
#include <cmath>

#include "unswift/base/registry.h"
#include "unswift/jinja/runtime.h"
#include "unswift/jinja/text.h"

namespace unswift::jinja {
namespace {

/// Tests of the value alone.
struct KindTest {
  std::string_view name;
  bool (*holds)(const Value&);
};

constexpr KindTest kKindTests[] = {
    {"defined", [](const Value& v) { return !v.IsUndefined(); }},
    {"undefined", [](const Value& v) { return v.IsUndefined(); }},
    {"none", [](const Value& v) { return v.IsNone(); }},
    {"string", [](const Value& v) { return v.AsString() != nullptr; }},
    {"boolean", [](const Value& v) { return v.As<bool>() != nullptr; }},
    {"true", [](const Value& v) { return v.As<bool>() != nullptr && *v.As<bool>(); }},
    {"false", [](const Value& v) { return v.As<bool>() != nullptr && !*v.As<bool>(); }},
    {"number", [](const Value& v) { return v.IsNumber(); }},
    {"integer", [](const Value& v) { return v.AsInt() != nullptr; }},
    {"float", [](const Value& v) { return v.As<double>() != nullptr; }},
    {"mapping", [](const Value& v) { return v.AsDict() != nullptr; }},
    {"iterable",
     [](const Value& v) {
       return v.AsList() != nullptr || v.AsDict() != nullptr || v.AsString() != nullptr ||
              v.IsUndefined() || v.As<std::shared_ptr<const Loop>>() != nullptr;
     }},
    // Python asks for a length and items, which strings, dicts and undefined have, too.
    {"sequence",
     [](const Value& v) {
       return v.AsList() != nullptr || v.AsDict() != nullptr || v.AsString() != nullptr ||
              v.IsUndefined();
     }},
    {"callable", [](const Value& v) { return v.As<std::shared_ptr<const Callable>>() != nullptr; }},
};

enum class Relation { kEqual, kNotEqual, kLess, kLessOrEqual, kGreater, kGreaterOrEqual, kIn };

struct RelationTest {
  std::string_view name;
  Relation relation;
};

constexpr RelationTest kRelationTests[] = {
    {"eq", Relation::kEqual},          {"equalto", Relation::kEqual},
    {"==", Relation::kEqual},          {"ne", Relation::kNotEqual},
    {"!=", Relation::kNotEqual},       {"lt", Relation::kLess},
    {"lessthan", Relation::kLess},     {"<", Relation::kLess},
    {"le", Relation::kLessOrEqual},    {"<=", Relation::kLessOrEqual},
    {"gt", Relation::kGreater},        {"greaterthan", Relation::kGreater},
    {">", Relation::kGreater},         {"ge", Relation::kGreaterOrEqual},
    {">=", Relation::kGreaterOrEqual}, {"in", Relation::kIn},
};

Result<bool> Holds(Runtime& runtime, Relation relation, const Value& a, const Value& b) {
  Budget& budget = runtime.budget;
  switch (relation) {
    case Relation::kEqual:
      return Equal(a, b, budget);
    case Relation::kIn:
      return Contains(runtime, b, a);
    case Relation::kLess:
      return Less(a, b, budget);
    case Relation::kGreater:
      return Less(b, a, budget);
    default:
      break;
  }
  UNSWIFT_ASSIGN_OR_RETURN(const bool opposite,
                           relation == Relation::kNotEqual      ? Equal(a, b, budget)
                           : relation == Relation::kLessOrEqual ? Less(b, a, budget)
                                                                : Less(a, b, budget));
  return !opposite;
}

/// Remainder by a divisor, for odd, even and divisibleby.
Result<bool> Divides(const Value& value, int64_t divisor, int64_t remainder) {
  if (!value.IsInteger()) return Refuse("expected an integer, got {}", value.TypeName());
  if (divisor == 0) return Refuse("division by zero");
  if (divisor == -1) return remainder == 0;
  return std::abs(value.ToInt() % divisor) == remainder;
}

/// `x is sameas y`: one and the same object; of simple values, equal ones of one type.
Result<bool> IsSame(const Value& a, const Value& b, Budget& budget) {
  if (a.AsList() != nullptr || a.AsDict() != nullptr) {
    return a.AsList() == b.AsList() && a.AsDict() == b.AsDict();
  }
  if (a.TypeName() != b.TypeName()) return false;
  return Equal(a, b, budget);
}

std::vector<std::string> Names() {
  std::vector<std::string> names = {"odd", "even", "divisibleby", "sameas", "upper", "lower"};
  for (const KindTest& test : kKindTests) names.emplace_back(test.name);
  for (const RelationTest& test : kRelationTests) names.emplace_back(test.name);
  return names;
}

}  // namespace

Result<bool> ApplyTest(Runtime& runtime, std::string_view name, const Value& input,
                       const Arguments& arguments) {
  UNSWIFT_RETURN_IF_ERROR(runtime.budget.Step());
  for (const KindTest& test : kKindTests) {
    if (test.name == name) return test.holds(input);
  }
  UNSWIFT_ASSIGN_OR_RETURN(const auto bound, arguments.Bind({"other"}));
  const auto with_argument = [&](auto then) -> Result<bool> {
    if (bound[0] == nullptr) return Refuse("test '{}': expected an argument", name);
    return then(*bound[0]);
  };
  for (const RelationTest& test : kRelationTests) {
    if (test.name != name) continue;
    return with_argument(
        [&](const Value& other) { return Holds(runtime, test.relation, input, other); });
  }
  if (name == "odd") return Divides(input, 2, 1);
  if (name == "even") return Divides(input, 2, 0);
  if (name == "divisibleby") {
    return with_argument([&](const Value& other) -> Result<bool> {
      if (!other.IsInteger()) return Refuse("divisibleby: expected an integer");
      return Divides(input, other.ToInt(), 0);
    });
  }
  if (name == "sameas") {
    return with_argument([&](const Value& other) { return IsSame(input, other, runtime.budget); });
  }
  if (name == "upper" || name == "lower") {
    UNSWIFT_ASSIGN_OR_RETURN(const std::string text, ToText(input, runtime.budget));
    return name == "upper" ? IsUpper(text) : IsLower(text);
  }
  Error error = UnknownName("test", name, Names());
  return tl::unexpected<Error>(std::move(error));
}

}  // namespace unswift::jinja
