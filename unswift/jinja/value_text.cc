// Values as text: str(), repr() and json.dumps() of Python.
#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <cmath>

#include "unswift/jinja/value.h"

namespace unswift::jinja {
namespace {

/// str.isprintable() of one character.
bool IsPrintable(UChar32 c) {
  if (c == ' ') return true;
  const int type = u_charType(c);
  return type != U_CONTROL_CHAR && type != U_FORMAT_CHAR && type != U_SURROGATE &&
         type != U_PRIVATE_USE_CHAR && type != U_UNASSIGNED && type != U_LINE_SEPARATOR &&
         type != U_PARAGRAPH_SEPARATOR && type != U_SPACE_SEPARATOR;
}

std::string EscapedForRepr(UChar32 c) {
  if (c == '\n') return "\\n";
  if (c == '\r') return "\\r";
  if (c == '\t') return "\\t";
  if (c < 0x100) return fmt::format("\\x{:02x}", c);
  return c < 0x10000 ? fmt::format("\\u{:04x}", c) : fmt::format("\\U{:08x}", c);
}

std::string ReprOfString(const std::string& text) {
  const bool has_single = text.find('\'') != text.npos, has_double = text.find('"') != text.npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  std::string out(1, quote);
  for (int32_t i = 0, length = static_cast<int32_t>(text.size()); i < length;) {
    const int32_t begin = i;
    UChar32 c;
    U8_NEXT_OR_FFFD(text.data(), i, length, c);
    if (c == quote || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (IsPrintable(c)) {
      out.append(text, begin, i - begin);
    } else {
      out += EscapedForRepr(c);
    }
  }
  return out + quote;
}

/// Writes values; every byte is charged, so that shared containers cannot be written for ever.
class Writer {
 public:
  explicit Writer(Budget& budget) : budget_(budget) {}
  std::string Take() { return std::move(out_); }

  Result<> Put(std::string_view text) {
    UNSWIFT_RETURN_IF_ERROR(budget_.Bytes(text.size()));
    out_ += text;
    return {};
  }

  Result<> Repr(const Value& value) {
    UNSWIFT_RETURN_IF_ERROR(budget_.Step());
    if (const std::string* text = value.AsString()) return Put(ReprOfString(*text));
    if (const List* list = value.AsList()) return ReprOfList(*list);
    if (const Dict* dict = value.AsDict()) return ReprOfDict(*dict);
    if (value.IsUndefined()) return Put("Undefined");
    if (value.IsNone()) return Put("None");
    if (const bool* flag = value.As<bool>()) return Put(*flag ? "True" : "False");
    if (value.IsInteger()) return Put(std::to_string(value.ToInt()));
    if (value.IsNumber()) return Put(FloatText(value.ToDouble()));
    return Put(fmt::format("<{}>", value.TypeName()));
  }

 private:
  Result<> ReprOfList(const List& list) {
    UNSWIFT_RETURN_IF_ERROR(Put(list.is_tuple ? "(" : "["));
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) UNSWIFT_RETURN_IF_ERROR(Put(", "));
      UNSWIFT_RETURN_IF_ERROR(Repr(list.items[i]));
    }
    if (!list.is_tuple) return Put("]");
    return Put(list.items.size() == 1 ? ",)" : ")");
  }

  Result<> ReprOfDict(const Dict& dict) {
    UNSWIFT_RETURN_IF_ERROR(Put("{"));
    bool first = true;
    for (const auto& [key, value] : dict.items()) {
      if (!first) UNSWIFT_RETURN_IF_ERROR(Put(", "));
      first = false;
      UNSWIFT_RETURN_IF_ERROR(Repr(key));
      UNSWIFT_RETURN_IF_ERROR(Put(": "));
      UNSWIFT_RETURN_IF_ERROR(Repr(value));
    }
    return Put("}");
  }

  Budget& budget_;
  std::string out_;
};

std::string JsonEscape(UChar32 c) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\f':
      return "\\f";
    case '\b':
      return "\\b";
    default:
      if (c < 0x10000) return fmt::format("\\u{:04x}", c);
      return fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + ((c - 0x10000) >> 10),
                         0xdc00 + ((c - 0x10000) & 0x3ff));
  }
}

std::string JsonString(const std::string& text, bool ensure_ascii) {
  std::string out = "\"";
  for (int32_t i = 0, length = static_cast<int32_t>(text.size()); i < length;) {
    const int32_t begin = i;
    UChar32 c;
    U8_NEXT_OR_FFFD(text.data(), i, length, c);
    if (c >= ' ' && c != '"' && c != '\\' && (c < 0x7f || !ensure_ascii)) {
      out.append(text, begin, i - begin);
    } else {
      out += JsonEscape(c);
    }
  }
  return out + "\"";
}

class JsonWriter {
 public:
  JsonWriter(const JsonStyle& style, Budget& budget) : style_(style), writer_(budget) {}
  std::string Take() { return writer_.Take(); }

  Result<> Write(const Value& value, int level) {
    if (const std::string* text = value.AsString()) {
      return writer_.Put(JsonString(*text, style_.ensure_ascii));
    }
    if (const List* list = value.AsList()) return WriteList(*list, level);
    if (const Dict* dict = value.AsDict()) return WriteDict(*dict, level);
    if (value.IsNone()) return writer_.Put("null");
    if (const bool* flag = value.As<bool>()) return writer_.Put(*flag ? "true" : "false");
    if (value.IsInteger()) return writer_.Put(std::to_string(value.ToInt()));
    if (const double* number = value.As<double>()) return writer_.Put(JsonNumber(*number));
    return MakeError(ErrorCode::kInvalidArgument, "tojson: {} has no form in JSON",
                     value.TypeName());
  }

 private:
  static std::string JsonNumber(double number) {
    if (std::isnan(number)) return "NaN";
    if (std::isinf(number)) return number > 0 ? "Infinity" : "-Infinity";
    return FloatText(number);
  }

  Result<> Break(int level) {
    if (style_.indent < 0) return {};
    return writer_.Put(fmt::format("\n{:{}}", "", style_.indent * level));
  }

  Result<> WriteList(const List& list, int level) {
    if (list.items.empty()) return writer_.Put("[]");
    UNSWIFT_RETURN_IF_ERROR(writer_.Put("["));
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) UNSWIFT_RETURN_IF_ERROR(writer_.Put(style_.item_separator));
      UNSWIFT_RETURN_IF_ERROR(Break(level + 1));
      UNSWIFT_RETURN_IF_ERROR(Write(list.items[i], level + 1));
    }
    UNSWIFT_RETURN_IF_ERROR(Break(level));
    return writer_.Put("]");
  }

  static std::string KeyText(const Value& key) {
    if (const std::string* text = key.AsString()) return *text;
    if (const bool* flag = key.As<bool>()) return *flag ? "true" : "false";
    return key.IsNone() ? "null" : std::to_string(key.ToInt());
  }

  Result<> WriteDict(const Dict& dict, int level) {
    if (dict.items().empty()) return writer_.Put("{}");
    std::vector<std::pair<std::string, const Value*>> members;
    for (const auto& [key, value] : dict.items()) members.emplace_back(KeyText(key), &value);
    if (style_.sort_keys) std::sort(members.begin(), members.end());
    UNSWIFT_RETURN_IF_ERROR(writer_.Put("{"));
    for (size_t i = 0; i < members.size(); ++i) {
      if (i > 0) UNSWIFT_RETURN_IF_ERROR(writer_.Put(style_.item_separator));
      UNSWIFT_RETURN_IF_ERROR(Break(level + 1));
      UNSWIFT_RETURN_IF_ERROR(writer_.Put(JsonString(members[i].first, style_.ensure_ascii)));
      UNSWIFT_RETURN_IF_ERROR(writer_.Put(style_.key_separator));
      UNSWIFT_RETURN_IF_ERROR(Write(*members[i].second, level + 1));
    }
    UNSWIFT_RETURN_IF_ERROR(Break(level));
    return writer_.Put("}");
  }

  const JsonStyle& style_;
  Writer writer_;
};

}  // namespace

std::string FloatText(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == text.npos) text += ".0";
  return text;
}

Result<std::string> ToText(const Value& value, Budget& budget) {
  if (const std::string* text = value.AsString()) {
    UNSWIFT_RETURN_IF_ERROR(budget.Bytes(text->size()));
    return *text;
  }
  if (value.IsUndefined()) return std::string();
  Writer writer(budget);
  UNSWIFT_RETURN_IF_ERROR(writer.Repr(value));
  return writer.Take();
}

Result<std::string> ToJsonText(const Value& value, const JsonStyle& style, Budget& budget) {
  JsonWriter writer(style, budget);
  UNSWIFT_RETURN_IF_ERROR(writer.Write(value, 0));
  return writer.Take();
}

}  // namespace unswift::jinja
