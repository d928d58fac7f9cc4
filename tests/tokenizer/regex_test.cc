#include "unswift/tokenizer/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unswift/tokenizer/regex_syntax.h"

namespace unswift {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> Matches(std::string_view pattern, std::string_view text) {
  Result<Regex> regex = Regex::Compile(pattern, "tiny.json");
  EXPECT_TRUE(regex) << regex.error().message;
  if (!regex) return {};
  TextScratch scratch;
  std::vector<ByteSpan> spans;
  const Result<> found = regex->FindAll(text, scratch, spans);
  EXPECT_TRUE(found) << found.error().message;
  std::vector<std::string> matches;
  for (const ByteSpan& span : spans) {
    matches.emplace_back(text.substr(span.begin, span.end - span.begin));
  }
  return matches;
}

TEST(Regex, FindsFromLeftToRight) {
  EXPECT_THAT(Matches("ab|a|c+", "abacccx"), ElementsAre("ab", "a", "ccc"));
  EXPECT_THAT(Matches("x", "abc"), IsEmpty());
  EXPECT_THAT(Matches("x", ""), IsEmpty());
}

TEST(Regex, WhiteSpaceIsThePropertyOfUnicode) {
  for (const char* space :
       {" ", "\t", "\v", "\xC2\x85", "\xC2\xA0", "\xE2\x80\xA8", "\xE3\x80\x80"}) {
    EXPECT_THAT(Matches("\\s", space), ElementsAre(space));
    EXPECT_THAT(Matches("[\\sx]", space), ElementsAre(space));
    EXPECT_THAT(Matches("\\S", space), IsEmpty());
    EXPECT_THAT(Matches("[^\\s]", space), IsEmpty());
    EXPECT_THAT(Matches("[\\S]", space), IsEmpty());
  }
  // U+180E left the property in Unicode 6.3; U+200B was never in it.
  for (const char* other : {"\xE1\xA0\x8E", "\xE2\x80\x8B", "a", "\x1C", "\xF0\x9F\x98\x80"}) {
    EXPECT_THAT(Matches("\\s", other), IsEmpty());
    EXPECT_THAT(Matches("[\\S]", other), ElementsAre(other));
    EXPECT_THAT(Matches("\\S", other), ElementsAre(other));
  }
}

TEST(Regex, WordsHaveMarksAndUnicodeDigits) {
  EXPECT_THAT(Matches("\\w+", "e\xCC\x81_\xD9\xA3-x"), ElementsAre("e\xCC\x81_\xD9\xA3", "x"));
  EXPECT_THAT(Matches("\\d+", "1\xD9\xA3\xC2\xBD"), ElementsAre("1\xD9\xA3"));
  EXPECT_THAT(Matches("\\p{N}+", "1\xD9\xA3\xC2\xBD"), ElementsAre("1\xD9\xA3\xC2\xBD"));
}

TEST(Regex, DotStopsAtLineEndsAndAnchorsAreOfLines) {
  EXPECT_THAT(Matches(".+", "ab\ncd\re"), ElementsAre("ab", "cd\re"));
  EXPECT_THAT(Matches("^.", "ab\ncd"), ElementsAre("a", "c"));
  EXPECT_THAT(Matches(".$", "ab\ncd"), ElementsAre("b", "d"));
}

TEST(Regex, IgnoresCaseWithUnicode) {
  EXPECT_THAT(Matches("(?i:'s|'LL)", "'S 'lL '\xC5\xBF"), ElementsAre("'S", "'lL", "'\xC5\xBF"));
  EXPECT_THAT(Matches("(?i)ab|c", "AB C"), ElementsAre("AB", "C"));
}

TEST(Regex, ScriptsAreNotScriptExtensions) {
  // U+3001 is Common with Han among its extensions.
  EXPECT_THAT(Matches("\\p{Han}+", "\xE4\xB8\xAD\xE3\x80\x81"), ElementsAre("\xE4\xB8\xAD"));
  EXPECT_THAT(Matches("\\P{Han}",
                      "\xE4\xB8\xAD"
                      "a"),
              ElementsAre("a"));
  EXPECT_THAT(Matches("\\p{^L}", "a1"), ElementsAre("1"));
}

TEST(Regex, EmptyMatchesDoNotStandStill) {
  EXPECT_THAT(Matches("x*", "a\xC3\xA9xx"), ElementsAre("", "", "xx"));
  EXPECT_THAT(Matches("x*", "xxa"), ElementsAre("xx"));
}

TEST(Regex, EscapesAndQuantifiers) {
  EXPECT_THAT(Matches("\\x41\\x{e9}\\u4e2d\\v\\.", "A\xC3\xA9\xE4\xB8\xAD\v."),
              ElementsAre("A\xC3\xA9\xE4\xB8\xAD\v."));
  EXPECT_THAT(Matches("a{2}|b{1,2}?c|(?<=x)y|(?>z+)", "aaabbcyxyzz"),
              ElementsAre("aa", "bbc", "y", "zz"));
}

TEST(Regex, RefusesWhatTheTwoLanguagesReadDifferently) {
  for (const char* pattern :
       {"\\h",   "a\\b",   "\\R",        "\\1",    "[a&&b]",  "[[:alpha:]]", "[a[b]]",  "[]a]",
        "[\\W]", "(?m:.)", "(?<name>a)", "a(?i)b", "(*FAIL)", "a{2}+",       "a{,3}",   "a{2}?",
        "a{x",   "\\p",    "\\p{Han",    "\\x",    "\\u12",   "[a",          "\\p{L1}", "a\\"}) {
    const Result<std::string> translated = TranslatePattern(pattern, "tiny.json");
    ASSERT_FALSE(translated) << pattern;
    EXPECT_EQ(translated.error().code, ErrorCode::kUnsupported);
    EXPECT_THAT(translated.error().message, HasSubstr("tiny.json: pattern: construct"));
  }
  for (const char* pattern : {"(a", "a)", "*a", "\\p{Nonsense}", "[z-a]"}) {
    const Result<Regex> regex = Regex::Compile(pattern, "tiny.json");
    ASSERT_FALSE(regex) << pattern;
    EXPECT_EQ(regex.error().code, ErrorCode::kUnsupported);
  }
}

TEST(Regex, CatastrophicBacktrackingIsAnError) {
  const Result<Regex> regex = Regex::Compile("(?:a|a|ab)+c|(?:a+)+d", "tiny.json");
  ASSERT_TRUE(regex);
  TextScratch scratch;
  std::vector<ByteSpan> spans;
  const std::string text = std::string(200, 'a') + "xcd";
  const Result<> found = regex->FindAll(text, scratch, spans);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::kInvalidData);
}

TEST(Regex, LongRunsAreWithinTheLimits) {
  const std::string spaces(3'000'000, ' ');
  EXPECT_EQ(Matches("\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", spaces + "x").size(), 2u);
}

}  // namespace
}  // namespace unswift
