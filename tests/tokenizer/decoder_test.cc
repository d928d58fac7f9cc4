#include "unswift/tokenizer/decoder.h"
#include "unswift/io/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/tokenizer/tiny_tokenizer.h"
#include "unswift/base/random.h"
#include "unswift/io/text.h"

namespace unswift {
namespace {

using testing::ElementsAre;

const std::string kBad = "\xEF\xBF\xBD";

std::unique_ptr<Decoder> MakeDecoder(const std::string& json) {
  auto decoder = Decoder::FromJson(Json::parse(json), {"tiny.json"});
  EXPECT_TRUE(decoder) << decoder.error().message;
  return decoder ? *std::move(decoder) : nullptr;
}

/// What is decided after each token and, last, at the end.
std::vector<std::string> Stream(const Decoder* decoder, const std::vector<std::string>& tokens) {
  DecoderRun run(decoder);
  std::vector<std::string> parts;
  for (const std::string& token : tokens) {
    run.Token(token);
    parts.push_back(run.TakeText());
    EXPECT_TRUE(IsValidUtf8(parts.back()));
  }
  run.Finish();
  parts.push_back(run.TakeText());
  return parts;
}

std::string Decode(const std::string& json, const std::vector<std::string>& tokens) {
  std::string text;
  for (const std::string& part : Stream(MakeDecoder(json).get(), tokens)) text += part;
  return text;
}

TEST(Decoder, WithoutDecoderTokensAreJoinedWithSpaces) {
  EXPECT_THAT(Stream(nullptr, {"a", "", "b"}), ElementsAre("a", " ", " b", ""));
}

TEST(Decoder, ByteLevelWaitsForWholeCharacters) {
  const auto decoder = MakeDecoder(R"({"type": "ByteLevel"})");
  // The alphabet's characters for F0 9F 98 80.
  EXPECT_THAT(Stream(decoder.get(), {"\xC3\xB0", "\xC5\x81", "\xC4\xBA", "\xC4\xA2",
                                     "\xC4\xA0"
                                     "a"}),
              ElementsAre("", "", "", "\xF0\x9F\x98\x80", " a", ""));
  EXPECT_THAT(Stream(decoder.get(), {"\xC3\xB0\xC5\x81", "a", "\xC3\xB0"}),
              ElementsAre("", kBad + "a", "", kBad));
}

TEST(Decoder, ByteLevelPassesForeignTokensAsTheyAre) {
  EXPECT_EQ(Decode(R"({"type": "ByteLevel"})", {"x y", "\xC4\xA0", "\xE6\x97\xA5"}),
            "x y \xE6\x97\xA5");
}

TEST(Decoder, ByteFallbackDecidesRunsAsAWhole) {
  const auto decoder = MakeDecoder(R"({"type": "ByteFallback"})");
  EXPECT_THAT(Stream(decoder.get(), {"<0xE5>", "<0x8F>", "<0xab>", "x"}),
              ElementsAre("", "", "", "\xE5\x8F\xABx", ""));
  // One bad byte breaks the run, and from then on nothing needs to wait.
  EXPECT_THAT(Stream(decoder.get(), {"<0x41>", "<0xFF>", "<0x41>", "x", "<0x41>"}),
              ElementsAre("", kBad + kBad, kBad, "x", "", "A"));
  EXPECT_THAT(Stream(decoder.get(), {"<0xE5>", "<0x8F>"}), ElementsAre("", "", kBad + kBad));
  EXPECT_EQ(Decode(R"({"type": "ByteFallback"})", {"<0x4>", "<0x4G>", "<0x041>", "<0x41"}),
            "<0x4><0x4G><0x041><0x41");
}

TEST(Decoder, StripWorksPerToken) {
  const char* strip = R"({"type": "Strip", "content": " ", "start": 1, "stop": 2})";
  EXPECT_EQ(Decode(strip, {"  a   ", " ", "b ", "   c"}), " a b  c");
  EXPECT_EQ(Decode(strip, {"     "}), "  ");
}

TEST(Decoder, StripAfterFuseSeesOneText) {
  const auto decoder = MakeDecoder(
      R"({"type": "Sequence", "decoders": [
          {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 1}]})");
  EXPECT_THAT(Stream(decoder.get(), {" ", " a", " ", "b ", " "}),
              ElementsAre("", " a", "", " b", " ", ""));
}

TEST(Decoder, ReplaceSeesAcrossFusedTokens) {
  const std::string replace =
      R"({"type": "Replace", "pattern": {"String": "aab"}, "content": "-"})";
  const std::string fused =
      R"({"type": "Sequence", "decoders": [{"type": "Fuse"}, )" + replace + "]}";
  EXPECT_EQ(Decode(replace, {"a", "ab", "aab"}), "aab-");
  EXPECT_EQ(Decode(fused, {"a", "ab", "a", "a", "a", "b", "a"}), "-a-a");
  EXPECT_THAT(Stream(MakeDecoder(fused).get(), {"xa", "a", "c", "a"}),
              ElementsAre("x", "", "aac", "", "a"));
}

TEST(Decoder, MetaspaceDropsTheFirstMarks) {
  const std::string always =
      R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "always"})";
  const std::string never =
      R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "never"})";
  EXPECT_EQ(Decode(always, {"_a_b", "_c", "_"}), "ab c ");
  EXPECT_EQ(Decode(never, {"_a_b", "_c", "_"}), " a b c ");
}

constexpr char kLlamaDecoder[] = R"({"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": "_"}, "content": " "}, {"type": "ByteFallback"},
    {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})";

TEST(Decoder, LlamaChain) {
  EXPECT_EQ(Decode(kLlamaDecoder, {"_Hi", "_there", "<0x0A>", "_"}), "Hi there\n ");
  EXPECT_EQ(Decode(kLlamaDecoder, {"<0x20>", "_a"}), " a");
  EXPECT_EQ(Decode(kLlamaDecoder, {"_", "_"}), " ");
}

// A second implementation, over whole lists, of the parts that hold text back.
using Tokens = std::vector<std::string>;

Tokens ByteFallbackByDefinition(const Tokens& tokens) {
  Tokens out;
  std::string run;
  const auto end_run = [&] {
    if (IsValidUtf8(run)) {
      out.push_back(run);
    } else {
      out.insert(out.end(), run.size(), kBad);
    }
    run.clear();
  };
  for (const std::string& token : tokens) {
    if (token.size() == 6 && token.starts_with("<0x")) {
      run += static_cast<char>(std::stoi(token.substr(3, 2), nullptr, 16));
    } else {
      end_run();
      out.push_back(token);
    }
  }
  end_run();
  return out;
}

std::string LlamaByDefinition(Tokens tokens) {
  for (std::string& token : tokens) std::replace(token.begin(), token.end(), '_', ' ');
  std::string text;
  for (const std::string& token : ByteFallbackByDefinition(tokens)) text += token;
  return text.starts_with(' ') ? text.substr(1) : text;
}

TEST(Decoder, StreamEqualsDefinitionOnRandomTokens) {
  const Tokens alphabet = {"_",      "_a",     "b",      "<0x41>", "<0xE5>",
                           "<0x8F>", "<0xAB>", "<0xF0>", "<0x9F>", "\xE6\x97\xA5"};
  const auto decoder = MakeDecoder(kLlamaDecoder);
  Random random(3);
  for (int round = 0; round < 3000; ++round) {
    Tokens tokens(random.NextBelow(9));
    for (std::string& token : tokens) token = alphabet[random.NextBelow(alphabet.size())];
    std::string text;
    for (const std::string& part : Stream(decoder.get(), tokens)) text += part;
    EXPECT_EQ(text, LlamaByDefinition(tokens)) << testing::PrintToString(tokens);
  }
}

TEST(StreamDecoder, IsTheSameAsDecode) {
  Json document = BpeDocument({"_", "a", "<0xE5>", "<0x8F>", "<0xAB>"});
  document["decoder"] = Json::parse(kLlamaDecoder);
  document["added_tokens"] = Json::array({AddedTokenJson(5, "<s>", {{"special", true}})});
  const Tokenizer tokenizer = MustMake(document);
  StreamDecoder stream(tokenizer, /*skip_special_tokens=*/true);
  EXPECT_EQ(stream.Append(0), "");
  EXPECT_EQ(stream.Append(1), "a");
  EXPECT_EQ(stream.Append(2), "");
  EXPECT_EQ(stream.Append(5), "") << "skipped inside a character";
  EXPECT_EQ(stream.Append(99), "") << "unknown inside a character";
  EXPECT_EQ(stream.Append(3), "");
  EXPECT_EQ(stream.Append(4), "");
  StreamDecoder moved = std::move(stream);
  EXPECT_EQ(moved.Finish(), "\xE5\x8F\xAB");
  EXPECT_EQ(tokenizer.Decode({0, 1, 2, 5, 99, 3, 4}, true), "a\xE5\x8F\xAB");
  EXPECT_EQ(tokenizer.Decode({0, 1, 2, 5, -1, 3, 4}, false), "a" + kBad + "<s>" + kBad + kBad);
}

}  // namespace
}  // namespace unswift
