#include "unswift/io/text.h"

#include <gtest/gtest.h>

namespace unswift {
namespace {

TEST(Utf8, AcceptsExactlyWellFormedText) {
  for (const char* text :
       {"", "a", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
        "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsValidUtf8(text)) << testing::PrintToString(text);
  }
  EXPECT_TRUE(IsValidUtf8(std::string_view("a\0b", 3)));
  for (const char* text : {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2",
                           "\xc2"
                           "a",
                           "\xe0\x80\x80", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xed\xbf\xbf",
                           "\xe2\x96", "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
                           "\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80", "\xff", "\xfe", "ok\xff"}) {
    EXPECT_FALSE(IsValidUtf8(text)) << testing::PrintToString(text);
  }
}

TEST(Utf8, CharLength) {
  EXPECT_EQ(Utf8CharLength("ab"), 1u);
  EXPECT_EQ(Utf8CharLength("\xe2\x96\x81x"), 3u);
  EXPECT_EQ(Utf8CharLength("\xf0\x9f\x98\x80x"), 4u);
  EXPECT_EQ(Utf8CharLength(""), 0u);
  EXPECT_EQ(Utf8CharLength("\x81"), 0u);
}

TEST(Shorten, KeepsMessagesShortAndPrintable) {
  EXPECT_EQ(Shorten("plain"), "plain");
  EXPECT_EQ(Shorten("a\nb\xff"
                    "c"),
            "a?b?c");
  const std::string exact(80, 'x');
  EXPECT_EQ(Shorten(exact), exact);
  EXPECT_EQ(Shorten(exact + "x"), exact + "...");
  const std::string wide = Shorten(std::string(79, 'x') +
                                   "\xe2\x96\x81"
                                   "tail");
  EXPECT_EQ(wide, std::string(79, 'x') + "\xe2\x96\x81...");
}

}  // namespace
}  // namespace unswift
