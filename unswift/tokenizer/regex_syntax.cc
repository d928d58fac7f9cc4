#include "unswift/tokenizer/regex_syntax.h"

#include <array>
#include <cctype>

#include "unswift/io/text.h"

namespace unswift {
namespace {

// Oniguruma's \s is the property White_Space; written as class content.
constexpr std::string_view kSpace =
    "\\t-\\r\\x20\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{"
    "3000}";
constexpr std::string_view kNotSpace =
    "\\x{0}-\\x{8}\\x{E}-\\x{1F}\\x{21}-\\x{84}\\x{86}-\\x{9F}\\x{A1}-\\x{167F}\\x{1681}-\\x{1FFF}"
    "\\x{200B}-\\x{2027}\\x{202A}-\\x{202E}\\x{2030}-\\x{205E}\\x{2060}-\\x{2FFF}\\x{3001}-\\x{"
    "10FFFF}";
constexpr std::string_view kWord = "\\p{L}\\p{M}\\p{Nd}\\p{Pc}";

// "(?" must be followed by one of these; others mean different things in the two languages.
constexpr std::array<std::string_view, 7> kGroups = {"?:", "?=", "?!", "?<=", "?<!", "?>", "?i:"};

class Translator {
 public:
  Translator(std::string_view pattern, std::string_view what) : rest_(pattern), what_(what) {}

  Result<std::string> Run() {
    // Elsewhere (?i) reaches across alternatives in one language and not in the other.
    if (rest_.starts_with("(?i)")) Copy(4);
    while (!rest_.empty()) UNSWIFT_RETURN_IF_ERROR(Step());
    return std::move(out_);
  }

 private:
  Result<> Step() {
    switch (rest_[0]) {
      case '\\':
        return Escape(/*in_class=*/false);
      case '[':
        return Class();
      case '(':
        return Group();
      case '{':
        return Braces();
      default:
        Copy(1);
        return {};
    }
  }

  Result<> Group() {
    if (!rest_.substr(1).starts_with("?") && !rest_.substr(1).starts_with("*")) {
      Copy(1);
      return {};
    }
    for (const std::string_view opening : kGroups) {
      if (!rest_.substr(1).starts_with(opening)) continue;
      Copy(1 + opening.size());
      return {};
    }
    return Refuse(rest_.substr(0, 4));
  }

  /// {n}, {n,}, {n,m} alone or followed by a lazy '?' mean the same in both languages, except {n}?.
  Result<> Braces() {
    const size_t end = rest_.find('}');
    const std::string_view body = rest_.substr(1, end == rest_.npos ? 0 : end - 1);
    if (body.empty() || !std::isdigit(static_cast<unsigned char>(body[0])) ||
        body.find_first_not_of("0123456789,") != body.npos) {
      return Refuse(rest_.substr(0, 4));
    }
    const char after = end + 1 < rest_.size() ? rest_[end + 1] : '\0';
    const bool is_exact = body.find(',') == body.npos;
    if (after == '+' || (after == '?' && is_exact)) return Refuse(rest_.substr(0, end + 2));
    Copy(end + 1);
    return {};
  }

  Result<> Class() {
    Copy(1);
    if (rest_.starts_with("^")) Copy(1);
    if (rest_.starts_with("]")) return Refuse("[]");
    while (!rest_.starts_with("]")) {
      if (rest_.empty()) return Refuse("unclosed [");
      if (rest_[0] == '[' || rest_.starts_with("&&")) return Refuse("set operation in []");
      if (rest_[0] == '\\') {
        UNSWIFT_RETURN_IF_ERROR(Escape(/*in_class=*/true));
      } else {
        Copy(1);
      }
    }
    Copy(1);
    return {};
  }

  Result<> Escape(bool in_class) {
    if (rest_.size() < 2) return Refuse("trailing \\");
    const char kind = rest_[1];
    if (kind == 'p' || kind == 'P') return Property();
    if (kind == 'x') return HexCode();
    if (kind == 'u') return UnicodeCode();
    if (kind == 'v') return Replace("\\x0B");
    if (kind == 's') return Set(kSpace, in_class, /*negated=*/false);
    if (kind == 'S') return in_class ? Replace(kNotSpace) : Set(kSpace, in_class, true);
    if (kind == 'w') return Set(kWord, in_class, /*negated=*/false);
    if (kind == 'W' && !in_class) return Set(kWord, in_class, /*negated=*/true);
    const bool is_letter_or_digit = std::isalnum(static_cast<unsigned char>(kind));
    const bool is_same = std::string_view("rntfaedD").find(kind) != std::string_view::npos;
    if (is_letter_or_digit && !is_same) return Refuse(rest_.substr(0, 2));
    Copy(2);
    return {};
  }

  Result<> Set(std::string_view content, bool in_class, bool negated) {
    if (in_class) return Replace(content);
    return Replace(fmt::format("[{}{}]", negated ? "^" : "", content));
  }

  /// \p{L}, \p{Lu}, \p{^L}, \p{Han}.
  Result<> Property() {
    const size_t end = rest_.find('}');
    if (rest_.size() < 3 || rest_[2] != '{' || end == rest_.npos) return Refuse(rest_.substr(0, 3));
    std::string_view name = rest_.substr(3, end - 3);
    const std::string_view negation = name.starts_with("^") ? "^" : "";
    name.remove_prefix(negation.size());
    for (const char c : name) {
      if (!std::isalpha(static_cast<unsigned char>(c)) && c != '_') {
        return Refuse(rest_.substr(0, end + 1));
      }
    }
    const std::string_view prefix = name.size() > 2 ? "sc:" : "";
    out_ += fmt::format("\\{}{{{}{}{}}}", rest_[1], negation, prefix, name);
    rest_.remove_prefix(end + 1);
    return {};
  }

  Result<> HexCode() {
    size_t length = 2;
    if (rest_.substr(2).starts_with("{")) {
      const size_t end = rest_.find('}');
      if (end == rest_.npos) return Refuse("\\x{");
      length = end + 1;
    } else {
      while (length < 4 && length < rest_.size() && IsHex(rest_[length])) ++length;
    }
    if (length == 2) return Refuse("\\x");
    Copy(length);
    return {};
  }

  Result<> UnicodeCode() {
    const std::string_view digits = rest_.substr(2, 4);
    if (digits.size() != 4) return Refuse("\\u");
    for (const char c : digits) {
      if (!IsHex(c)) return Refuse("\\u");
    }
    out_ += fmt::format("\\x{{{}}}", digits);
    rest_.remove_prefix(6);
    return {};
  }

  static bool IsHex(char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; }

  /// The two characters of an escape become `text`.
  Result<> Replace(std::string_view text) {
    out_ += text;
    rest_.remove_prefix(2);
    return {};
  }

  void Copy(size_t count) {
    out_ += rest_.substr(0, count);
    rest_.remove_prefix(count);
  }

  tl::unexpected<Error> Refuse(std::string_view construct) const {
    return MakeError(ErrorCode::kUnsupported,
                     "[open_tokenizer] {}: pattern: construct '{}' is not supported", what_,
                     Shorten(construct));
  }

  std::string_view rest_;
  std::string_view what_;
  std::string out_;
};

}  // namespace

Result<std::string> TranslatePattern(std::string_view pattern, std::string_view what) {
  return Translator(pattern, what).Run();
}

}  // namespace unswift
