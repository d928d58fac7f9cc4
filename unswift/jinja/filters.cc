// Filters: `x | name(...)`. Sequences are in sequence_filters.cc.
#include "unswift/jinja/filters.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "unswift/base/registry.h"
#include "unswift/jinja/text.h"

namespace unswift::jinja {
namespace {

using Bound = std::vector<const Value*>;

Result<int64_t> IntegerOr(const Value* value, int64_t fallback) {
  if (value == nullptr) return fallback;
  if (value->IsInteger()) return value->ToInt();
  return Refuse("expected an integer as the argument, got {}", value->TypeName());
}

Result<Value> Trim(Runtime& runtime, const Value& input, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(const Bound bound, arguments.Bind({"chars"}));
  UNSWIFT_ASSIGN_OR_RETURN(const std::string text, ToText(input, runtime.budget));
  const bool given = bound[0] != nullptr && !bound[0]->IsNone();
  if (given && bound[0]->AsString() == nullptr) return Refuse("expected characters to trim");
  return MakeString(std::string(Strip(text, given ? bound[0]->AsString() : nullptr)),
                    runtime.budget);
}

template <std::string (*map)(std::string_view)>
Result<Value> MapText(Runtime& runtime, const Value& input, const Arguments& arguments) {
  UNSWIFT_RETURN_IF_ERROR(arguments.Bind({}));
  UNSWIFT_ASSIGN_OR_RETURN(const std::string text, ToText(input, runtime.budget));
  UNSWIFT_RETURN_IF_ERROR(runtime.budget.Bytes(text.size() * 3));
  return Value(map(text));
}

Result<Value> StringOf(Runtime& runtime, const Value& input, const Arguments& arguments) {
  UNSWIFT_RETURN_IF_ERROR(arguments.Bind({}));
  if (input.AsString() != nullptr) return input;
  UNSWIFT_ASSIGN_OR_RETURN(std::string text, ToText(input, runtime.budget));
  return Value(std::move(text));
}

/// Nothing is escaped in the first place: chat templates write plain text.
Result<Value> Safe(Runtime&, const Value& input, const Arguments&) { return input; }

/// The method of the same name on the value's text.
Result<Value> ReplaceText(Runtime& runtime, const Value& input, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(std::string text, ToText(input, runtime.budget));
  return CallMethod(runtime, Value(std::move(text)), "replace", arguments);
}

Result<Value> Default(Runtime&, const Value& input, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(const Bound bound, arguments.Bind({"default_value", "boolean"}));
  const bool of_false = bound[1] != nullptr && bound[1]->IsTrue();
  if (!input.IsUndefined() && (!of_false || input.IsTrue())) return input;
  return bound[0] != nullptr ? *bound[0] : Value("");
}

Result<Value> ToJson(Runtime& runtime, const Value& input, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(const Bound bound,
                           arguments.Bind({"ensure_ascii", "indent", "separators", "sort_keys"}));
  JsonStyle style;
  style.ensure_ascii = bound[0] != nullptr && bound[0]->IsTrue();
  if (bound[1] != nullptr && !bound[1]->IsNone()) {
    UNSWIFT_ASSIGN_OR_RETURN(const int64_t indent, IntegerOr(bound[1], 0));
    if (indent > 64) return Refuse("tojson: expected an indent of at most 64, got {}", indent);
    style.indent = static_cast<int>(std::max<int64_t>(indent, 0));
    style.item_separator.assign(1, ',');
  }
  if (bound[2] != nullptr && !bound[2]->IsNone()) {
    const List* separators = bound[2]->AsList();
    const bool two = separators != nullptr && separators->items.size() == 2 &&
                     separators->items[0].AsString() != nullptr &&
                     separators->items[1].AsString() != nullptr;
    if (!two) return Refuse("tojson: expected two strings as separators");
    style.item_separator = *separators->items[0].AsString();
    style.key_separator = *separators->items[1].AsString();
  }
  style.sort_keys = bound[3] != nullptr && bound[3]->IsTrue();
  UNSWIFT_ASSIGN_OR_RETURN(std::string text, ToJsonText(input, style, runtime.budget));
  return Value(std::move(text));
}

std::string WithoutUnderscores(std::string_view text) {
  std::string digits(Strip(text));
  std::erase(digits, '_');
  return digits;
}

Result<Value> IntegerOf(Runtime& runtime, const Value& input, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(const Bound bound, arguments.Bind({"default", "base"}));
  UNSWIFT_ASSIGN_OR_RETURN(const int64_t base, IntegerOr(bound[1], 10));
  if (base < 2 || base > 36) return Refuse("int: expected a base from 2 to 36, got {}", base);
  const Value fallback = bound[0] != nullptr ? *bound[0] : Value(int64_t{0});
  if (input.IsInteger()) return Value(input.ToInt());
  const auto truncated = [&](double number) {
    return std::abs(number) < 0x1p63 ? Value(static_cast<int64_t>(number)) : fallback;
  };
  if (input.IsNumber()) return truncated(input.ToDouble());
  if (input.AsString() == nullptr) return fallback;
  UNSWIFT_RETURN_IF_ERROR(runtime.budget.Bytes(input.AsString()->size()));
  std::string text = WithoutUnderscores(*input.AsString());
  if (text.starts_with('+')) text.erase(0, 1);
  int64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number, static_cast<int>(base));
  if (parsed.ec == std::errc() && parsed.ptr == end) return Value(number);
  char* float_end = nullptr;
  const double as_float = std::strtod(text.c_str(), &float_end);
  return !text.empty() && float_end == end ? truncated(as_float) : fallback;
}

Result<Value> FloatOf(Runtime& runtime, const Value& input, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(const Bound bound, arguments.Bind({"default"}));
  const Value fallback = bound[0] != nullptr ? *bound[0] : Value(0.0);
  if (input.IsNumber()) return Value(input.ToDouble());
  if (input.AsString() == nullptr) return fallback;
  UNSWIFT_RETURN_IF_ERROR(runtime.budget.Bytes(input.AsString()->size()));
  const std::string text = WithoutUnderscores(*input.AsString());
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  return !text.empty() && end == text.c_str() + text.size() ? Value(number) : fallback;
}

Result<Value> Absolute(Runtime&, const Value& input, const Arguments& arguments) {
  UNSWIFT_RETURN_IF_ERROR(arguments.Bind({}));
  if (!input.IsNumber()) return Refuse("abs: expected a number, got {}", input.TypeName());
  if (!input.IsInteger()) return Value(std::abs(input.ToDouble()));
  if (input.ToInt() == INT64_MIN) return Refuse("an integer exceeds 64 bits");
  return Value(std::abs(input.ToInt()));
}

Result<Value> Round(Runtime&, const Value& input, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(const Bound bound, arguments.Bind({"precision", "method"}));
  UNSWIFT_ASSIGN_OR_RETURN(const int64_t precision, IntegerOr(bound[0], 0));
  if (!input.IsNumber()) return Refuse("round: expected a number, got {}", input.TypeName());
  if (precision < 0 || precision > 300) return Refuse("round: expected a precision of 0 to 300");
  const std::string method =
      bound[1] != nullptr && bound[1]->AsString() != nullptr ? *bound[1]->AsString() : "common";
  if (method == "common") {
    if (input.IsInteger()) return Value(input.ToInt());
    // The decimal of that many places nearest to the exact value, ties to even, as Python has it.
    const std::string text = fmt::format("{:.{}f}", input.ToDouble(), static_cast<int>(precision));
    return Value(std::strtod(text.c_str(), nullptr));
  }
  if (method != "ceil" && method != "floor") {
    return Refuse("round: expected common, ceil or floor");
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = input.ToDouble() * scale;
  return Value((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

/// indent(width=4, first=false, blank=false)
Result<Value> Indent(Runtime& runtime, const Value& input, const Arguments& arguments) {
  UNSWIFT_ASSIGN_OR_RETURN(const Bound bound, arguments.Bind({"width", "first", "blank"}));
  UNSWIFT_ASSIGN_OR_RETURN(const std::string text, ToText(input, runtime.budget));
  std::string indention(4, ' ');
  if (bound[0] != nullptr && bound[0]->AsString() != nullptr) {
    indention = *bound[0]->AsString();
  } else if (bound[0] != nullptr) {
    UNSWIFT_ASSIGN_OR_RETURN(const int64_t width, IntegerOr(bound[0], 4));
    if (width > 1024) return Refuse("indent: expected a width of at most 1024, got {}", width);
    indention.assign(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  const bool first = bound[1] != nullptr && bound[1]->IsTrue();
  const bool blank = bound[2] != nullptr && bound[2]->IsTrue();
  std::string out;
  bool is_first = true;
  const std::string ended = text + "\n";
  for (std::string_view line : SplitLines(ended, false)) {
    UNSWIFT_RETURN_IF_ERROR(runtime.budget.Bytes(line.size() + indention.size() + 1));
    if (!is_first) out += '\n';
    if (is_first ? first : blank || !line.empty()) out += indention;
    out += line;
    is_first = false;
  }
  return Value(std::move(out));
}

Result<Value> CountWords(Runtime& runtime, const Value& input, const Arguments& arguments) {
  UNSWIFT_RETURN_IF_ERROR(arguments.Bind({}));
  UNSWIFT_ASSIGN_OR_RETURN(const std::string text, ToText(input, runtime.budget));
  int64_t words = 0;
  for (std::string_view part : Split(text, nullptr, -1)) {
    words += std::any_of(part.begin(), part.end(), [](char c) {
      return c == '_' || (c & 0x80) != 0 || IsAlphanumeric(static_cast<unsigned char>(c));
    });
  }
  return Value(words);
}

constexpr FilterRow kFilters[] = {
    {"trim", Trim},
    {"upper", MapText<Upper>},
    {"lower", MapText<Lower>},
    {"capitalize", MapText<Capitalize>},
    {"title", MapText<TitleOfFilter>},
    {"string", StringOf},
    {"safe", Safe},
    {"replace", ReplaceText},
    {"default", Default},
    {"d", Default},
    {"tojson", ToJson},
    {"int", IntegerOf},
    {"float", FloatOf},
    {"abs", Absolute},
    {"round", Round},
    {"indent", Indent},
    {"wordcount", CountWords},
};

}  // namespace

Result<Value> ApplyFilter(Runtime& runtime, std::string_view name, const Value& input,
                          const Arguments& arguments) {
  UNSWIFT_RETURN_IF_ERROR(runtime.budget.Step());
  std::vector<std::string> names;
  for (const auto rows : {std::span<const FilterRow>(kFilters), SequenceFilters()}) {
    for (const FilterRow& row : rows) {
      if (row.name == name) return row.apply(runtime, input, arguments);
      names.emplace_back(row.name);
    }
  }
  return tl::unexpected<Error>(UnknownName("filter", name, names));
}

}  // namespace unswift::jinja
