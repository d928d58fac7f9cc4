#include "unswift/jinja/text.h"

#include <unicode/ucasemap.h>
#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <algorithm>

namespace unswift::jinja {
namespace {

/// Decodes the character at `i` and moves past it. The text is valid UTF-8 throughout this folder.
char32_t Next(std::string_view text, size_t& i) {
  int32_t position = 0;
  const int32_t length = static_cast<int32_t>(std::min<size_t>(text.size() - i, 4));
  UChar32 c;
  U8_NEXT_OR_FFFD(text.data() + i, position, length, c);
  i += position;
  return static_cast<char32_t>(c);
}

/// Decodes the character that ends at `i` and moves before it.
char32_t Previous(std::string_view text, size_t& i) {
  size_t begin = i - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80) --begin;
  i = begin;
  size_t end = begin;
  return Next(text, end);
}

bool Stripped(char32_t c, const std::string* chars) {
  if (chars == nullptr) return IsSpace(c);
  for (size_t i = 0; i < chars->size();) {
    if (Next(*chars, i) == c) return true;
  }
  return false;
}

using CaseFn = int32_t (*)(const UCaseMap*, char*, int32_t, const char*, int32_t, UErrorCode*);

/// The root locale's full case mapping, which is Python's.
std::string MapCase(std::string_view text, CaseFn map) {
  UErrorCode status = U_ZERO_ERROR;
  UCaseMap* const case_map = ucasemap_open("", 0, &status);
  std::string out(text.size() * 3 + 1, '\0');  // no mapping grows by more
  const int32_t length = map(case_map, out.data(), static_cast<int32_t>(out.size()), text.data(),
                             static_cast<int32_t>(text.size()), &status);
  ucasemap_close(case_map);
  out.resize(U_SUCCESS(status) ? length : 0);
  return out;
}

bool IsLineEnd(char32_t c) {
  return (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

std::vector<std::string_view> SplitSpaces(std::string_view text, int64_t max_splits) {
  std::vector<std::string_view> parts;
  text = StripLeft(text);
  while (!text.empty()) {
    if (max_splits >= 0 && static_cast<int64_t>(parts.size()) == max_splits) {
      parts.push_back(text);  // with the white space behind it
      break;
    }
    size_t end = 0;
    for (size_t i = 0; i < text.size(); end = i) {
      if (IsSpace(Next(text, i))) break;
    }
    parts.push_back(text.substr(0, end));
    text = StripLeft(text.substr(end));
  }
  return parts;
}

std::vector<std::string_view> SplitSpacesFromRight(std::string_view text, int64_t max_splits) {
  std::vector<std::string_view> parts;
  text = StripRight(text);
  while (!text.empty()) {
    if (max_splits >= 0 && static_cast<int64_t>(parts.size()) == max_splits) {
      parts.push_back(text);
      break;
    }
    size_t begin = text.size();
    for (size_t i = text.size(); i > 0; begin = i) {
      if (IsSpace(Previous(text, i))) break;
    }
    parts.push_back(text.substr(begin));
    text = StripRight(text.substr(0, begin));
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

template <typename IsStart>
std::string Title(std::string_view text, IsStart is_start) {
  std::string out;
  bool start = true;
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const char32_t c = Next(text, i);
    const std::string_view character = text.substr(begin, i - begin);
    out +=
        start ? MapCase(character, ucasemap_utf8ToUpper) : MapCase(character, ucasemap_utf8ToLower);
    start = is_start(c);
  }
  return out;
}

}  // namespace

bool IsSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
         c == 0x205f || c == 0x3000;
}

std::vector<std::string_view> Characters(std::string_view text) {
  std::vector<std::string_view> characters;
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    Next(text, i);
    characters.push_back(text.substr(begin, i - begin));
  }
  return characters;
}

size_t CountCharacters(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
}

std::string_view StripLeft(std::string_view text, const std::string* chars) {
  size_t end = 0;
  for (size_t i = 0; i < text.size(); end = i) {
    if (!Stripped(Next(text, i), chars)) break;
  }
  return text.substr(end);
}

std::string_view StripRight(std::string_view text, const std::string* chars) {
  size_t begin = text.size();
  for (size_t i = text.size(); i > 0; begin = i) {
    if (!Stripped(Previous(text, i), chars)) break;
  }
  return text.substr(0, begin);
}

std::vector<std::string_view> Split(std::string_view text, const std::string* separator,
                                    int64_t max_splits) {
  if (separator == nullptr) return SplitSpaces(text, max_splits);
  std::vector<std::string_view> parts;
  while (max_splits < 0 || static_cast<int64_t>(parts.size()) < max_splits) {
    const size_t found = text.find(*separator);
    if (found == text.npos) break;
    parts.push_back(text.substr(0, found));
    text.remove_prefix(found + separator->size());
  }
  parts.push_back(text);
  return parts;
}

std::vector<std::string_view> SplitFromRight(std::string_view text, const std::string* separator,
                                             int64_t max_splits) {
  if (separator == nullptr) return SplitSpacesFromRight(text, max_splits);
  std::vector<std::string_view> parts;
  while (max_splits < 0 || static_cast<int64_t>(parts.size()) < max_splits) {
    const size_t found = text.rfind(*separator);
    if (found == text.npos) break;
    parts.push_back(text.substr(found + separator->size()));
    text = text.substr(0, found);
  }
  parts.push_back(text);
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> SplitLines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t end = i;
    const char32_t c = Next(text, i);
    if (!IsLineEnd(c)) continue;
    if (c == '\r' && i < text.size() && text[i] == '\n') ++i;
    lines.push_back(text.substr(begin, (keep_ends ? i : end) - begin));
    begin = i;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

std::string Replace(std::string_view text, std::string_view from, std::string_view to,
                    int64_t count) {
  std::string out;
  if (from.empty()) {  // between all characters, and around them
    for (std::string_view character : Characters(text)) {
      if (count != 0) out += to, --count;
      out += character;
    }
    return count != 0 ? out + std::string(to) : out;
  }
  for (; count != 0; --count) {
    const size_t found = text.find(from);
    if (found == text.npos) break;
    out += text.substr(0, found);
    out += to;
    text.remove_prefix(found + from.size());
  }
  return out += text;
}

std::string Upper(std::string_view text) { return MapCase(text, ucasemap_utf8ToUpper); }
std::string Lower(std::string_view text) { return MapCase(text, ucasemap_utf8ToLower); }

std::string Capitalize(std::string_view text) {
  if (text.empty()) return {};
  size_t first = 0;
  Next(text, first);
  return MapCase(text.substr(0, first), ucasemap_utf8ToUpper) + Lower(text.substr(first));
}

std::string TitleOfFilter(std::string_view text) {
  return Title(text, [](char32_t c) {
    return IsSpace(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
  });
}

std::string TitleOfMethod(std::string_view text) {
  return Title(text, [](char32_t c) { return !u_isUAlphabetic(static_cast<UChar32>(c)); });
}

bool AllAre(std::string_view text, bool (*kind)(char32_t)) {
  for (size_t i = 0; i < text.size();) {
    if (!kind(Next(text, i))) return false;
  }
  return !text.empty();
}

bool IsAlpha(char32_t c) { return u_isalpha(static_cast<UChar32>(c)); }

bool IsDigit(char32_t c) {
  const int type = u_getIntPropertyValue(static_cast<UChar32>(c), UCHAR_NUMERIC_TYPE);
  return type == U_NT_DECIMAL || type == U_NT_DIGIT;
}

bool IsAlphanumeric(char32_t c) {
  return IsAlpha(c) ||
         u_getIntPropertyValue(static_cast<UChar32>(c), UCHAR_NUMERIC_TYPE) != U_NT_NONE;
}

bool IsUpper(std::string_view text) { return text == Upper(text) && text != Lower(text); }
bool IsLower(std::string_view text) { return text == Lower(text) && text != Upper(text); }

}  // namespace unswift::jinja
