#include "unswift/tokenizer/pre_tokenizer.h"
#include "unswift/io/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace unswift {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> Pieces(const std::string& json, std::string_view text,
                                bool at_start = true) {
  auto pre_tokenizer = PreTokenizer::FromJson(Json::parse(json), {"tiny.json"});
  EXPECT_TRUE(pre_tokenizer) << pre_tokenizer.error().message;
  if (!pre_tokenizer) return {};
  PreTokenizedText input{std::string(text), {{0, text.size()}}, at_start};
  TextScratch scratch;
  const Result<> status = (*pre_tokenizer)->Apply(input, scratch);
  EXPECT_TRUE(status) << status.error().message;
  std::vector<std::string> pieces;
  for (const ByteSpan& span : input.pieces) {
    EXPECT_LT(span.begin, span.end);
    pieces.push_back(input.text.substr(span.begin, span.end - span.begin));
  }
  return pieces;
}

std::string Split(const std::string& pattern, const std::string& behavior, bool invert) {
  return Json{{"type", "Split"},
              {"pattern", {{"Regex", pattern}}},
              {"behavior", behavior},
              {"invert", invert}}
      .dump();
}

TEST(PreTokenizer, SplitBehaviors) {
  EXPECT_THAT(Pieces(Split(",", "Removed", false), ",a,,bc,"), ElementsAre("a", "bc"));
  EXPECT_THAT(Pieces(Split(",", "Isolated", false), ",a,,bc,"),
              ElementsAre(",", "a", ",", ",", "bc", ","));
  EXPECT_THAT(Pieces(Split(",", "MergedWithPrevious", false), ",a,,bc,"),
              ElementsAre(",", "a,", ",", "bc,"));
  EXPECT_THAT(Pieces(Split(",", "MergedWithNext", false), ",a,,bc,"),
              ElementsAre(",a", ",", ",bc", ","));
  EXPECT_THAT(Pieces(Split(",", "Contiguous", false), ",a,,bc,"),
              ElementsAre(",", "a", ",,", "bc", ","));
}

TEST(PreTokenizer, InvertedSplitBehaviors) {
  const std::string words = "\\w+|[^\\w\\s]+", text = "How are doing?";
  EXPECT_THAT(Pieces(Split(words, "Removed", true), text), ElementsAre("How", "are", "doing", "?"));
  EXPECT_THAT(Pieces(Split(words, "Isolated", true), text),
              ElementsAre("How", " ", "are", " ", "doing", "?"));
  EXPECT_THAT(Pieces(Split(words, "MergedWithPrevious", true), text),
              ElementsAre("How ", "are ", "doing", "?"));
  EXPECT_THAT(Pieces(Split(words, "MergedWithNext", true), text),
              ElementsAre("How", " are", " doing", "?"));
  EXPECT_THAT(Pieces(Split(words, "Contiguous", true), text),
              ElementsAre("How", " ", "are", " ", "doing?"));
}

TEST(PreTokenizer, SplitAtText) {
  const char* json =
      R"({"type": "Split", "pattern": {"String": "."}, "behavior": "Removed", "invert": false})";
  EXPECT_THAT(Pieces(json, "a.b..c"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(Pieces(json, ".."), IsEmpty());
}

TEST(PreTokenizer, Digits) {
  EXPECT_THAT(Pieces(R"({"type": "Digits", "individual_digits": true})", "a12\xC2\xBD b"),
              ElementsAre("a", "1", "2", "\xC2\xBD", " b"));
  EXPECT_THAT(Pieces(R"({"type": "Digits", "individual_digits": false})", "a12\xC2\xBD b"),
              ElementsAre("a", "12\xC2\xBD", " b"));
}

TEST(PreTokenizer, ByteLevelCutsLikeGpt2) {
  const char* json = R"({"type": "ByteLevel", "add_prefix_space": false})";
  // U+0120 stands for the space, U+010A for the line end.
  EXPECT_THAT(Pieces(json, "Hi there,  I'll\n\n go 12"),
              ElementsAre("Hi", "\xC4\xA0there", ",", "\xC4\xA0", "\xC4\xA0I", "'ll",
                          "\xC4\x8A\xC4\x8A", "\xC4\xA0go",
                          "\xC4\xA0"
                          "12"));
  EXPECT_THAT(Pieces(json, "\xC3\xA9"), ElementsAre("\xC3\x83\xC2\xA9"));
}

TEST(PreTokenizer, ByteLevelOptions) {
  EXPECT_THAT(
      Pieces(R"({"type": "ByteLevel", "add_prefix_space": true, "use_regex": false})", "a b"),
      ElementsAre("\xC4\xA0"
                  "a\xC4\xA0"
                  "b"));
  EXPECT_THAT(Pieces(R"({"type": "ByteLevel", "use_regex": false})", " a"), ElementsAre("\xC4\xA0"
                                                                                        "a"));
}

TEST(PreTokenizer, ByteLevelAlphabetIsOneToOne) {
  std::vector<bool> seen(0x144, false);
  for (int byte = 0; byte < 256; ++byte) {
    const char32_t character = ByteLevelCharacter(static_cast<uint8_t>(byte));
    ASSERT_LT(character, seen.size());
    EXPECT_FALSE(seen[character]) << byte;
    seen[character] = true;
  }
  EXPECT_EQ(ByteLevelCharacter(' '), 0x120u);
  EXPECT_EQ(ByteLevelCharacter(0xAD), 0x143u);
}

std::string Metaspace(const std::string& scheme, bool split) {
  return Json{
      {"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", scheme}, {"split", split}}
      .dump();
}

TEST(PreTokenizer, MetaspaceSchemes) {
  EXPECT_THAT(Pieces(Metaspace("always", true), "a  b", false), ElementsAre("_a", "_", "_b"));
  EXPECT_THAT(Pieces(Metaspace("first", true), "a b", true), ElementsAre("_a", "_b"));
  EXPECT_THAT(Pieces(Metaspace("first", true), "a b", false), ElementsAre("a", "_b"));
  EXPECT_THAT(Pieces(Metaspace("never", true), "a b", true), ElementsAre("a", "_b"));
  EXPECT_THAT(Pieces(Metaspace("always", false), "a b", true), ElementsAre("_a_b"));
  EXPECT_THAT(Pieces(Metaspace("always", true), " a", true), ElementsAre("_a"));
  EXPECT_THAT(Pieces(Metaspace("always", true), "_a", true), ElementsAre("_a"));
}

TEST(PreTokenizer, MetaspaceOlderForm) {
  const char* off = R"({"type": "Metaspace", "replacement": "_", "add_prefix_space": false})";
  const char* on = R"({"type": "Metaspace", "replacement": "_", "add_prefix_space": true})";
  EXPECT_THAT(Pieces(off, "a b"), ElementsAre("a", "_b"));
  EXPECT_THAT(Pieces(on, "a b"), ElementsAre("_a", "_b"));
}

TEST(PreTokenizer, SequenceKeepsTrackOfTheStart) {
  const auto sequence = [](const std::string& first, const std::string& second) {
    return R"({"type": "Sequence", "pretokenizers": [)" + first + "," + second + "]}";
  };
  EXPECT_THAT(Pieces(sequence(Split(",", "Removed", false), Metaspace("first", true)), "a,b"),
              ElementsAre("_a", "b"));
  EXPECT_THAT(Pieces(sequence(Split(",", "Removed", false), Metaspace("first", true)), ",a,b"),
              ElementsAre("a", "b"));
  EXPECT_THAT(Pieces(sequence(R"({"type": "Digits", "individual_digits": true})",
                              R"({"type": "ByteLevel", "add_prefix_space": false})"),
                     "a 12"),
              ElementsAre("a", "\xC4\xA0", "1", "2"));
}

}  // namespace
}  // namespace unswift
