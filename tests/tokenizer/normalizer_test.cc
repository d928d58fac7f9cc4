#include "unswift/tokenizer/normalizer.h"
#include "unswift/io/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace unswift {
namespace {

using testing::HasSubstr;

std::string Normalize(const char* json, std::string text) {
  auto normalizer = Normalizer::FromJson(Json::parse(json), {"tiny.json"});
  EXPECT_TRUE(normalizer) << normalizer.error().message;
  if (!normalizer) return {};
  TextScratch scratch;
  const Result<> status = (*normalizer)->Normalize(text, scratch);
  EXPECT_TRUE(status) << status.error().message;
  return text;
}

TEST(Normalizer, PrependLeavesNothingAlone) {
  const char* json = R"({"type": "Prepend", "prepend": "_"})";
  EXPECT_EQ(Normalize(json, "ab"), "_ab");
  EXPECT_EQ(Normalize(json, ""), "");
}

TEST(Normalizer, ReplaceTextAndPattern) {
  const char* text = R"({"type": "Replace", "pattern": {"String": "aa"}, "content": "b"})";
  EXPECT_EQ(Normalize(text, "aaaxaa"), "baxb");
  EXPECT_EQ(Normalize(text, "x"), "x");
  const char* regex = R"({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "})";
  EXPECT_EQ(Normalize(regex, "a   b c  "), "a b c ");
}

TEST(Normalizer, SequenceRunsInOrder) {
  const char* json = R"({"type": "Sequence", "normalizers": [
      {"type": "Prepend", "prepend": " "},
      {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]})";
  EXPECT_EQ(Normalize(json, "a b"),
            "\xE2\x96\x81"
            "a\xE2\x96\x81"
            "b");
}

TEST(Normalizer, UnicodeForms) {
  const std::string composed = "\xC3\xA9 \xEA\xB0\x81",
                    decomposed = "e\xCC\x81 \xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8";
  EXPECT_EQ(Normalize(R"({"type": "NFC"})", decomposed), composed);
  EXPECT_EQ(Normalize(R"({"type": "NFC"})", "plain"), "plain");
  EXPECT_EQ(Normalize(R"({"type": "NFD"})", composed), decomposed);
  EXPECT_EQ(Normalize(R"({"type": "NFKC"})", "\xEF\xAC\x81"), "fi");
  EXPECT_EQ(Normalize(R"({"type": "NFKD"})", "\xEF\xAC\x81\xC3\xA9"), "fie\xCC\x81");
}

TEST(Normalizer, GrowthIsBounded) {
  std::string doubling = R"({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"})";
  std::string json = R"({"type": "Sequence", "normalizers": [)" + doubling;
  for (int i = 1; i < 60; ++i) json += "," + doubling;
  auto normalizer = Normalizer::FromJson(Json::parse(json + "]}"), {"tiny.json"});
  ASSERT_TRUE(normalizer);
  TextScratch scratch;
  std::string text = "a";
  const Result<> status = (*normalizer)->Normalize(text, scratch);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kInvalidData);
  EXPECT_THAT(status.error().message, HasSubstr("after normalization"));
}

}  // namespace
}  // namespace unswift
