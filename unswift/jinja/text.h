// Python's string methods over UTF-8: positions count code points, white space is Unicode's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace unswift::jinja {

bool IsSpace(char32_t c);

/// Views of the single characters.
std::vector<std::string_view> Characters(std::string_view text);
size_t CountCharacters(std::string_view text);

/// str.strip(chars): the characters of `chars`, or white space when it is null.
std::string_view StripLeft(std::string_view text, const std::string* chars = nullptr);
std::string_view StripRight(std::string_view text, const std::string* chars = nullptr);
inline std::string_view Strip(std::string_view text, const std::string* chars = nullptr) {
  return StripRight(StripLeft(text, chars), chars);
}

/// str.split(separator, max_splits) and str.rsplit; white space when the separator is null. The
/// separator is not empty; max_splits < 0: no limit.
std::vector<std::string_view> Split(std::string_view text, const std::string* separator,
                                    int64_t max_splits);
std::vector<std::string_view> SplitFromRight(std::string_view text, const std::string* separator,
                                             int64_t max_splits);
/// str.splitlines(keepends).
std::vector<std::string_view> SplitLines(std::string_view text, bool keep_ends);

/// str.replace(from, to, count); count < 0: all.
std::string Replace(std::string_view text, std::string_view from, std::string_view to,
                    int64_t count);

std::string Upper(std::string_view text);
std::string Lower(std::string_view text);
/// First character upper, the rest lower.
std::string Capitalize(std::string_view text);
/// Each word's first character upper, the rest lower; words as Jinja's filter and as str.title
/// see them.
std::string TitleOfFilter(std::string_view text);
std::string TitleOfMethod(std::string_view text);

/// str.isalpha and so on: not empty and every character of the kind.
bool AllAre(std::string_view text, bool (*kind)(char32_t));
bool IsAlpha(char32_t c);
bool IsDigit(char32_t c);
bool IsAlphanumeric(char32_t c);
bool IsUpper(std::string_view text);
bool IsLower(std::string_view text);

}  // namespace unswift::jinja
