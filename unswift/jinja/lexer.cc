#include "unswift/jinja/lexer.h"

#include <algorithm>
#include <array>
#include <optional>

#include "unswift/jinja/text.h"

namespace unswift::jinja {
namespace {

constexpr std::array<std::string_view, 26> kOperators = {
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
    "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};

bool IsDecimal(char c) { return c >= '0' && c <= '9'; }
bool IsNameStart(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0;
}

/// Line ends become \n, and one at the end of the template goes.
std::string NormalizeLineEnds(std::string_view source) {
  std::string text;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      text += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      text += source[i];
    }
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

void AppendUtf8(uint32_t c, std::string& out) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xc0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 63));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xe0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 63));
    out += static_cast<char>(0x80 | (c & 63));
  } else {
    out += static_cast<char>(0xf0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 63));
    out += static_cast<char>(0x80 | (c >> 6 & 63));
    out += static_cast<char>(0x80 | (c & 63));
  }
}

/// The number that text[i, i + digits) writes in `base`; empty when a digit is none.
std::optional<uint32_t> DigitsAt(std::string_view text, size_t i, size_t digits, int base) {
  if (i + digits > text.size()) return std::nullopt;
  uint32_t value = 0;
  for (const char c : text.substr(i, digits)) {
    const int digit = IsDecimal(c)                         ? c - '0'
                      : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                           : 99;
    if (digit >= base) return std::nullopt;
    value = value * base + digit;
  }
  return value;
}

/// Python's "unicode-escape" of a string literal's inside. Empty for an escape that names no
/// character.
std::optional<std::string> Unescape(std::string_view text) {
  constexpr std::string_view kLetters = "ntrabfv\\'\"", kMeanings = "\n\t\r\a\b\f\v\\'\"";
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    const char letter = text[++i];
    if (const size_t simple = kLetters.find(letter); simple != kLetters.npos) {
      out += kMeanings[simple];
    } else if (letter == '\n') {
      continue;  // a line that goes on
    } else if (letter == 'x' || letter == 'u' || letter == 'U') {
      const size_t digits = letter == 'x' ? 2 : letter == 'u' ? 4 : 8;
      const auto value = DigitsAt(text, i + 1, digits, 16);
      if (!value || *value > 0x10ffff || (*value >= 0xd800 && *value < 0xe000)) return std::nullopt;
      AppendUtf8(*value, out);
      i += digits;
    } else if (letter >= '0' && letter <= '7') {
      size_t digits = 1;
      while (digits < 3 && DigitsAt(text, i, digits + 1, 8)) ++digits;
      AppendUtf8(*DigitsAt(text, i, digits, 8), out);
      i += digits - 1;
    } else if (letter == 'N') {
      return std::nullopt;  // \N{name}
    } else {
      out += '\\';
      out += letter;
    }
  }
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : text_(NormalizeLineEnds(source)), source_(text_) {}

  Result<std::vector<Token>> Run() {
    while (at_ < source_.size()) UNSWIFT_RETURN_IF_ERROR(ReadData());
    Add(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  tl::unexpected<Error> Fail(std::string_view why) const {
    return MakeError(ErrorCode::kInvalidData, "line {}: {}", line_, why);
  }
  void Add(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }
  bool At(std::string_view text) const { return source_.substr(at_).starts_with(text); }
  void Advance(size_t bytes) {
    line_ += std::count(source_.begin() + at_, source_.begin() + at_ + bytes, '\n');
    at_ += bytes;
  }
  void SkipSpace() {
    const std::string_view left = source_.substr(at_);
    Advance(left.size() - StripLeft(left).size());
  }
  char SignAt(size_t position) const {
    const char c = position < source_.size() ? source_[position] : '\0';
    return c == '-' || c == '+' ? c : '\0';
  }

  /// Text up to the next tag, without the white space that the tag takes, and the tag.
  Result<> ReadData() {
    size_t tag = at_;
    do {
      tag = source_.find('{', tag);
    } while (tag != source_.npos && !IsTag(tag) && ++tag);
    if (tag == source_.npos) {
      AddData(source_.substr(at_), '+', false);
      Advance(source_.size() - at_);
      return {};
    }
    const char sign = SignAt(tag + 2), kind = source_[tag + 1];
    AddData(source_.substr(at_, tag - at_), sign, kind != '{');
    Advance(tag + 2 + (sign != '\0') - at_);
    if (kind == '#') return SkipComment();
    if (kind == '%' && SkipRawTag("raw", /*trim_line_end=*/false)) return ReadRaw();
    Add(kind == '{' ? TokenKind::kVariableBegin : TokenKind::kBlockBegin, "");
    return ReadExpression(kind == '{' ? "}}" : "%}");
  }

  bool IsTag(size_t position) const {
    const char kind = position + 1 < source_.size() ? source_[position + 1] : '\0';
    return kind == '{' || kind == '%' || kind == '#';
  }

  /// `sign` is that of the tag behind the text; without one, a block or comment takes the blanks
  /// between the line's start and itself.
  void AddData(std::string_view text, char sign, bool is_block) {
    if (sign == '-') {
      text = StripRight(text);
    } else if (sign != '+' && is_block) {
      const size_t line = text.rfind('\n') + 1;  // 0 when there is none
      const bool from_line_start = line > 0 || at_ == 0 || source_[at_ - 1] == '\n';
      if (from_line_start && StripLeft(text.substr(line)).empty()) text = text.substr(0, line);
    }
    if (!text.empty()) Add(TokenKind::kData, std::string(text));
  }

  /// Moves past "%}" or "#}", its sign, and the white space that it takes.
  bool SkipEnd(std::string_view end) {
    const char sign = SignAt(at_);
    if (!source_.substr(at_ + (sign != '\0')).starts_with(end)) return false;
    if (end == "}}" && sign == '+') return false;
    Advance(end.size() + (sign != '\0'));
    if (sign == '-') {
      SkipSpace();
    } else if (sign == '\0' && end != "}}" && At("\n")) {
      Advance(1);
    }
    return true;
  }

  Result<> SkipComment() {
    const size_t end = source_.find("#}", at_);
    if (end == source_.npos) return Fail("expected '#}' behind the comment, got the end");
    const size_t signed_end = end > at_ && SignAt(end - 1) != '\0' ? end - 1 : end;
    Advance(signed_end - at_);
    SkipEnd("#}");
    return {};
  }

  /// Behind "{%" and its sign: moves past `name` and "%}", or nowhere when something else follows.
  bool SkipRawTag(std::string_view name, bool trim_line_end) {
    const size_t at = at_;
    const int line = line_;
    SkipSpace();
    if (At(name)) {
      Advance(name.size());
      SkipSpace();
      const bool closes = At("%}") || At("-%}") || (trim_line_end && At("+%}"));
      if (closes && !trim_line_end && At("%}")) {
        Advance(2);
        return true;
      }
      if (closes) return SkipEnd("%}");
    }
    at_ = at;
    line_ = line;
    return false;
  }

  Result<> ReadRaw() {
    for (size_t tag = source_.find("{%", at_); tag != source_.npos;
         tag = source_.find("{%", tag + 2)) {
      const size_t data = at_;
      const int line = line_;
      const char sign = SignAt(tag + 2);
      Advance(tag + 2 + (sign != '\0') - at_);
      const bool ends = SkipRawTag("endraw", /*trim_line_end=*/true);
      const size_t behind = at_;
      const int line_behind = line_;
      at_ = data;
      line_ = line;
      if (!ends) continue;
      AddData(source_.substr(data, tag - data), sign, true);
      at_ = behind;
      line_ = line_behind;
      return {};
    }
    return Fail("expected {% endraw %}, got the end");
  }

  /// Tokens up to the end of a tag. Inside brackets "}}" closes two of them.
  Result<> ReadExpression(std::string_view end) {
    std::string open;
    while (true) {
      SkipSpace();
      if (at_ == source_.size()) return Fail(fmt::format("expected '{}', got the end", end));
      if (open.empty() && SkipEnd(end)) break;
      UNSWIFT_RETURN_IF_ERROR(ReadToken(open));
    }
    Add(end == "}}" ? TokenKind::kVariableEnd : TokenKind::kBlockEnd, "");
    return {};
  }

  Result<> ReadToken(std::string& open) {
    const char c = source_[at_];
    if (IsDecimal(c)) return ReadNumber();
    if (IsNameStart(c)) {
      size_t end = at_;
      while (end < source_.size() && (IsNameStart(source_[end]) || IsDecimal(source_[end]))) ++end;
      return AddAndAdvance(TokenKind::kName, end);
    }
    if (c == '\'' || c == '"') return ReadString(c);
    for (std::string_view symbol : kOperators) {
      if (At(symbol)) return ReadOperator(symbol, open);
    }
    return Fail(fmt::format("unexpected character '{}'", c >= ' ' && c <= '~' ? c : '?'));
  }

  Result<> AddAndAdvance(TokenKind kind, size_t end) {
    Add(kind, std::string(source_.substr(at_, end - at_)));
    Advance(end - at_);
    return {};
  }

  Result<> ReadOperator(std::string_view symbol, std::string& open) {
    constexpr std::string_view kOpening = "([{", kClosing = ")]}";
    if (kOpening.find(symbol) != kOpening.npos) open += kClosing[kOpening.find(symbol)];
    if (kClosing.find(symbol) != kClosing.npos) {
      if (open.empty() || open.back() != symbol[0]) {
        return Fail(fmt::format("unexpected '{}'", symbol));
      }
      open.pop_back();
    }
    return AddAndAdvance(TokenKind::kOperator, at_ + symbol.size());
  }

  Result<> ReadNumber() {
    const auto digits_from = [&](size_t i) {
      while (i < source_.size() && (IsDecimal(source_[i]) || source_[i] == '_')) ++i;
      return i;
    };
    size_t end = digits_from(at_);
    bool is_float = false;
    const bool behind_dot = at_ > 0 && source_[at_ - 1] == '.';  // in a.0.1 there are two integers
    if (!behind_dot && end + 1 < source_.size() && source_[end] == '.' &&
        IsDecimal(source_[end + 1])) {
      is_float = true;
      end = digits_from(end + 1);
    }
    if (!behind_dot && end < source_.size() && (source_[end] | 32) == 'e') {
      const size_t exponent = end + 1 + (SignAt(end + 1) != '\0');
      if (exponent < source_.size() && IsDecimal(source_[exponent])) {
        is_float = true;
        end = digits_from(exponent);
      }
    }
    if (end < source_.size() && IsNameStart(source_[end])) {
      return Fail("expected a decimal number");
    }
    UNSWIFT_RETURN_IF_ERROR(AddAndAdvance(is_float ? TokenKind::kFloat : TokenKind::kInteger, end));
    std::erase(tokens_.back().text, '_');
    return {};
  }

  Result<> ReadString(char quote) {
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) return Fail("a string is not closed");
    std::optional<std::string> text = Unescape(source_.substr(at_ + 1, end - at_ - 1));
    if (!text) return Fail("a string has an escape that names no character");
    Add(TokenKind::kString, *std::move(text));
    Advance(end + 1 - at_);
    return {};
  }

  const std::string text_;
  const std::string_view source_;
  size_t at_ = 0;
  int line_ = 1;
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> Tokenize(std::string_view source) { return Lexer(source).Run(); }

}  // namespace unswift::jinja
