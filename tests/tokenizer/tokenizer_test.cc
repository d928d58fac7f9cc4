#include "unswift/tokenizer/tokenizer.h"
#include "unswift/io/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/testing/test_data.h"
#include "tests/tokenizer/tiny_tokenizer.h"

namespace unswift {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Json ByteLevelDocument() {
  // U+0120 stands for the space.
  Json document = BpeDocument({"a", "b", "\xC4\xA0", "ab",
                               "\xC4\xA0"
                               "ab",
                               "<s>", "</s>"},
                              {"a b", "\xC4\xA0 ab"});
  document["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  document["decoder"] = {{"type", "ByteLevel"}};
  document["added_tokens"] = Json::array({AddedTokenJson(5, "<s>", {{"special", true}}),
                                          AddedTokenJson(6, "</s>", {{"special", true}})});
  return document;
}

Json Template() {
  return Json::parse(R"({"type": "Sequence", "processors": [
      {"type": "ByteLevel", "trim_offsets": false},
      {"type": "TemplateProcessing",
       "single": [{"SpecialToken": {"id": "BOS", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                  {"SpecialToken": {"id": "EOS", "type_id": 0}}],
       "pair": [],
       "special_tokens": {"BOS": {"id": "BOS", "ids": [5, 5], "tokens": ["<s>", "<s>"]},
                          "EOS": {"id": "EOS", "ids": [6], "tokens": ["</s>"]}}}]})");
}

TEST(Tokenizer, EncodesAndDecodes) {
  const Tokenizer tokenizer = MustMake(ByteLevelDocument());
  const std::vector<int32_t> ids = MustEncode(tokenizer, "ab ab<s> a", true);
  EXPECT_THAT(ids, ElementsAre(3, 4, 5, 2, 0));
  EXPECT_EQ(tokenizer.Decode(ids, false), "ab ab<s> a");
  EXPECT_EQ(tokenizer.Decode(ids, true), "ab ab a");
  EXPECT_EQ(tokenizer.vocab_size(), 7);
  EXPECT_EQ(tokenizer.TokenToId("\xC4\xA0"
                                "ab"),
            4);
  EXPECT_EQ(tokenizer.IdToToken(7), std::nullopt);
  EXPECT_EQ(tokenizer.IdToToken(-1), std::nullopt);
}

TEST(Tokenizer, PostProcessorAddsItsTokensOnlyWhenAsked) {
  Json document = ByteLevelDocument();
  document["post_processor"] = Template();
  const Tokenizer tokenizer = MustMake(document);
  EXPECT_THAT(MustEncode(tokenizer, "ab", true), ElementsAre(5, 5, 3, 6));
  EXPECT_THAT(MustEncode(tokenizer, "", true), ElementsAre(5, 5, 6));
  EXPECT_THAT(MustEncode(tokenizer, "ab", false), ElementsAre(3));
  EXPECT_THAT(MustEncode(tokenizer, "", false), IsEmpty());
}

TEST(Tokenizer, RefusesTextThatIsNotUtf8) {
  const Tokenizer tokenizer = MustMake(ByteLevelDocument());
  for (const char* text : {"a\xFF", "\xC3", "\xED\xA0\x80"}) {
    const auto ids = tokenizer.Encode(text, false);
    ASSERT_FALSE(ids);
    EXPECT_EQ(ids.error().code, ErrorCode::kInvalidArgument);
  }
  EXPECT_THAT(MustEncode(tokenizer, std::string_view("a\0b", 3)), ElementsAre(0, 1));
}

TEST(Tokenizer, MetaspaceFirstIsOnlyTheBeginningOfTheText) {
  Json document = BpeDocument({"_", "a", "b"});
  document["pre_tokenizer"] = {
      {"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "first"}};
  document["added_tokens"] =
      Json::array({AddedTokenJson(3, "X"), AddedTokenJson(4, "Y", {{"normalized", true}})});
  const Tokenizer tokenizer = MustMake(document);
  EXPECT_THAT(MustEncode(tokenizer, "aXb"), ElementsAre(0, 1, 3, 2));
  EXPECT_THAT(MustEncode(tokenizer, "Xa"), ElementsAre(3, 1));
  EXPECT_THAT(MustEncode(tokenizer, "Ya"), ElementsAre(4, 1));
  EXPECT_THAT(MustEncode(tokenizer, "aYa"), ElementsAre(0, 1, 4, 1));
}

TEST(Tokenizer, ManyThreadsShareOne) {
  const Tokenizer tokenizer = MustMake(ByteLevelDocument());
  std::string text;
  for (int i = 0; i < 200; ++i) text += std::string(1 + i % 7, 'a') + "b ab";
  const std::vector<int32_t> expected = MustEncode(tokenizer, text);
  std::vector<std::thread> threads;
  std::vector<int> failures(4, 0);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) failures[t] += tokenizer.Encode(text, false) != expected;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(failures, ElementsAre(0, 0, 0, 0));
}

TEST(Tokenizer, OpensADirectory) {
  const TempDir directory;
  WriteTextFile(directory / "tokenizer.json", ByteLevelDocument().dump());
  const Result<Tokenizer> tokenizer = Tokenizer::Open(directory.path());
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_THAT(MustEncode(*tokenizer, "ab"), ElementsAre(3));
}

TEST(Tokenizer, OpenNamesTheFile) {
  const TempDir directory;
  const Result<Tokenizer> missing = Tokenizer::Open(directory.path());
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  WriteTextFile(directory / "tokenizer.json", R"({"model": {"type": "WordPiece"}})");
  const Result<Tokenizer> unsupported = Tokenizer::Open(directory.path());
  ASSERT_FALSE(unsupported);
  EXPECT_THAT(unsupported.error().message, HasSubstr((directory / "tokenizer.json").string()));
}

TEST(Tokenizer, PatternLimitIsAnErrorOfEncode) {
  Json document = BpeDocument({"a"});
  document["pre_tokenizer"] = {{"type", "Split"},
                               {"pattern", {{"Regex", "(?:a+)+b"}}},
                               {"behavior", "Isolated"},
                               {"invert", false}};
  const Tokenizer tokenizer = MustMake(document);
  const auto ids = tokenizer.Encode(std::string(300, 'a') + "cb", false);
  ASSERT_FALSE(ids);
  EXPECT_EQ(ids.error().code, ErrorCode::kInvalidData);
  EXPECT_THAT(MustEncode(tokenizer, "aab"), ElementsAre(0, 0)) << "and the tokenizer lives on";
}

}  // namespace
}  // namespace unswift
