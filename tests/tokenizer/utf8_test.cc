#include "unswift/tokenizer/utf8.h"

#include <gtest/gtest.h>

#include <vector>

#include "unswift/io/text.h"

namespace unswift {
namespace {

std::string Repair(std::string_view bytes) {
  std::string whole;
  Utf8Repairer repairer;
  repairer.Push(bytes, whole);
  repairer.Finish(whole);
  std::string one_by_one;
  Utf8Repairer other;
  for (const char byte : bytes) other.Push(std::string_view(&byte, 1), one_by_one);
  other.Finish(one_by_one);
  EXPECT_EQ(whole, one_by_one);
  return whole;
}

TEST(Utf8, CodePointsGoOutAndBack) {
  for (const char32_t code_point :
       {0x0u, 0x7Fu, 0x80u, 0x7FFu, 0x800u, 0xD7FFu, 0xE000u, 0xFFFFu, 0x10000u, 0x10FFFFu}) {
    std::string text = "x";
    AppendUtf8(code_point, text);
    const std::string_view character = std::string_view(text).substr(1);
    EXPECT_TRUE(IsValidUtf8(character)) << static_cast<uint32_t>(code_point);
    EXPECT_TRUE(IsOneCharacter(character));
    EXPECT_EQ(Utf8CodePoint(character), code_point);
    EXPECT_EQ(Utf8LastCharacter(text), 1u);
    EXPECT_EQ(Repair(character), character);
  }
}

// The Unicode standard, section 3.9, tables 3-8 to 3-11: one U+FFFD per maximal ill-formed part.
TEST(Utf8, RepairsAsTheStandardRecommends) {
  const std::string bad(kReplacementCharacter);
  EXPECT_EQ(Repair("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"),
            bad + bad + bad + bad + bad + bad + bad + bad + "A");
  EXPECT_EQ(Repair("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"),
            bad + bad + bad + bad + bad + bad + bad + bad + "A");
  EXPECT_EQ(Repair("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"),
            bad + bad + bad + bad + bad + "A" + bad + bad + "B");
  EXPECT_EQ(Repair("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), bad + bad + bad + bad + "A");
  EXPECT_EQ(Repair("a\xF0\x9F\x98"), "a" + bad);
  EXPECT_EQ(Repair("\xF0\x9F\x98\x80"), "\xF0\x9F\x98\x80");
}

TEST(Utf8, RepairerEmitsEachCharacterWithItsLastByte) {
  Utf8Repairer repairer;
  std::string out;
  repairer.Push("\xE2\x82", out);
  EXPECT_EQ(out, "");
  repairer.Push(
      "\xAC"
      "x",
      out);
  EXPECT_EQ(out, "\xE2\x82\xACx");
}

}  // namespace
}  // namespace unswift
