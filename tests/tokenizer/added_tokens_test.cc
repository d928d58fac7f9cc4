#include "unswift/tokenizer/added_tokens.h"
#include "unswift/io/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/tokenizer/tiny_tokenizer.h"

namespace unswift {
namespace {

using testing::ElementsAre;

/// Characters a, b, space, and the given added tokens with ids from 3.
Tokenizer WithAdded(const std::vector<Json>& added, const Json& normalizer = nullptr) {
  Json document = BpeDocument({"a", "b", " ", "_"});
  document["added_tokens"] = added;
  document["normalizer"] = normalizer;
  return MustMake(document);
}

TEST(AddedTokens, AreFoundBeforeTheModelSeesTheText) {
  const Tokenizer tokenizer = WithAdded({AddedTokenJson(4, "<x>"), AddedTokenJson(9, "b<")});
  EXPECT_THAT(MustEncode(tokenizer, "a<x>b<x>"), ElementsAre(0, 4, 9));
  EXPECT_EQ(tokenizer.vocab_size(), 10);
  EXPECT_EQ(tokenizer.TokenToId("b<"), 9);
  EXPECT_EQ(tokenizer.IdToToken(9), "b<");
  EXPECT_EQ(tokenizer.IdToToken(5), std::nullopt);
  EXPECT_EQ(tokenizer.TokenToId("<y>"), std::nullopt);
}

TEST(AddedTokens, LeftmostThenLongest) {
  const Tokenizer tokenizer =
      WithAdded({AddedTokenJson(4, "aa"), AddedTokenJson(5, "aaaa"), AddedTokenJson(6, "abbb")});
  EXPECT_THAT(MustEncode(tokenizer, "aaaaaaa"), ElementsAre(5, 4, 0));
  EXPECT_THAT(MustEncode(tokenizer, "aabbb"), ElementsAre(4, 1, 1, 1));
}

TEST(AddedTokens, StripTakesWhiteSpace) {
  const Tokenizer tokenizer = WithAdded(
      {AddedTokenJson(4, "X", {{"lstrip", true}, {"rstrip", true}}), AddedTokenJson(5, "Y")});
  EXPECT_THAT(MustEncode(tokenizer, "a \t X\xE3\x80\x80 b"), ElementsAre(0, 4, 1));
  EXPECT_THAT(MustEncode(tokenizer, "X  X a"), ElementsAre(4, 4, 0));
  EXPECT_THAT(MustEncode(tokenizer, " Y "), ElementsAre(2, 5, 2));
}

TEST(AddedTokens, ATokenThatIsAllTakenIsGone) {
  const Tokenizer tokenizer =
      WithAdded({AddedTokenJson(2, " ", {{"lstrip", true}, {"rstrip", true}})});
  EXPECT_THAT(MustEncode(tokenizer, "a    b"), ElementsAre(0, 2, 1));
  EXPECT_THAT(MustEncode(tokenizer, " _  "), ElementsAre(2, 3, 2));
}

TEST(AddedTokens, SingleWordNeedsRoom) {
  const Tokenizer tokenizer =
      WithAdded({AddedTokenJson(4, "aX", {{"single_word", true}}), AddedTokenJson(5, "X")});
  EXPECT_THAT(MustEncode(tokenizer, "aX"), ElementsAre(4));
  EXPECT_THAT(MustEncode(tokenizer, "a aX "), ElementsAre(0, 2, 4, 2));
  EXPECT_THAT(MustEncode(tokenizer, "-aX."), ElementsAre(4));
  // Refused, and it hides the X inside, as in the reference.
  EXPECT_THAT(MustEncode(tokenizer, "baX"), ElementsAre(1, 0));
  EXPECT_THAT(MustEncode(tokenizer, "aX\xC3\xA9"), ElementsAre(0));
  EXPECT_THAT(MustEncode(tokenizer,
                         "\xCC\x81"
                         "aX"),
              ElementsAre(0))
      << "a mark is a word character";
}

TEST(AddedTokens, NormalizedOnesAreFoundInNormalizedText) {
  const Json normalizer = {
      {"type", "Sequence"},
      {"normalizers",
       {{{"type", "Prepend"}, {"prepend", "_"}},
        {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "_"}}}}};
  const Tokenizer tokenizer =
      WithAdded({AddedTokenJson(4, "X", {{"normalized", true}, {"special", true}}),
                 AddedTokenJson(5, "Y", {{"special", true}})},
                normalizer);
  // The surface of X is "_X".
  EXPECT_THAT(MustEncode(tokenizer, "aX X b"), ElementsAre(3, 0, 4, 3, 1));
  EXPECT_THAT(MustEncode(tokenizer, "X"), ElementsAre(4));
  // Raw tokens cut the text before it is normalized, so each part gets its own prefix.
  EXPECT_THAT(MustEncode(tokenizer, "aYb"), ElementsAre(3, 0, 5, 3, 1));
  EXPECT_EQ(tokenizer.IdToToken(4), "X");
  EXPECT_TRUE(tokenizer.IsSpecial(4));
  EXPECT_EQ(tokenizer.Decode({4, 0, 5}, false), "_X a Y");
  EXPECT_EQ(tokenizer.Decode({4, 0, 5}, true), "_X a");
}

TEST(AddedTokens, OrdinaryOnesAreNotSpecial) {
  const Tokenizer tokenizer =
      WithAdded({AddedTokenJson(4, "X"), AddedTokenJson(5, "Y", {{"special", true}})});
  EXPECT_FALSE(tokenizer.IsSpecial(4));
  EXPECT_TRUE(tokenizer.IsSpecial(5));
  EXPECT_FALSE(tokenizer.IsSpecial(0));
  EXPECT_EQ(tokenizer.Decode({0, 4, 5}, true), "a X");
}

TEST(StringFinder, PrefersTheFirstValueOfEqualTexts) {
  StringFinder finder;
  EXPECT_TRUE(finder.empty());
  finder.Insert("ab", 1);
  finder.Insert("ab", 2);
  const auto match = finder.FindNext("xxab", 1);
  ASSERT_TRUE(match);
  EXPECT_EQ(match->value, 1);
  EXPECT_EQ(match->span.begin, 2u);
  EXPECT_EQ(match->span.end, 4u);
  EXPECT_FALSE(finder.FindNext("xxab", 3));
}

}  // namespace
}  // namespace unswift
