#include "unswift/tokenizer/bpe.h"
#include "unswift/io/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/tokenizer/tiny_tokenizer.h"
#include "unswift/base/random.h"
#include "unswift/tokenizer/bpe_merges.h"

namespace unswift {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Bpe, LowestRankFirstThenLeftmost) {
  const std::vector<std::string> tokens = {"a", "b", "c", "ab", "bc", "aa", "abc"};
  EXPECT_THAT(TokensOf(MustMake(BpeDocument(tokens, {"b c", "a b"})), "abc"),
              ElementsAre("a", "bc"));
  EXPECT_THAT(TokensOf(MustMake(BpeDocument(tokens, {"a b", "b c"})), "abc"),
              ElementsAre("ab", "c"));
  EXPECT_THAT(TokensOf(MustMake(BpeDocument(tokens, {"a a"})), "aaa"), ElementsAre("aa", "a"));
  EXPECT_THAT(TokensOf(MustMake(BpeDocument(tokens, {"a b", "ab c"})), "abcab"),
              ElementsAre("abc", "ab"));
}

TEST(Bpe, RepeatedMergeTakesTheLaterRank) {
  const std::vector<std::string> tokens = {"a", "b", "ab", "ba"};
  EXPECT_THAT(TokensOf(MustMake(BpeDocument(tokens, {"a b", "b a", "a b"})), "abab"),
              ElementsAre("a", "ba", "b"));
}

TEST(Bpe, MergesAsPairsMayHoldSpaces) {
  Json document = BpeDocument({"a", " ", "a "});
  document["model"]["merges"] = Json::parse(R"([["a", " "]])");
  EXPECT_THAT(TokensOf(MustMake(document), "a a"), ElementsAre("a ", "a"));
}

TEST(Bpe, UnknownCharactersVanishWithoutUnkToken) {
  EXPECT_THAT(TokensOf(MustMake(BpeDocument({"a", "b", "ab"}, {"a b"})), "axb"), ElementsAre("ab"));
}

TEST(Bpe, UnknownToken) {
  Json document = BpeDocument({"?", "a"});
  document["model"]["unk_token"] = "?";
  EXPECT_THAT(TokensOf(MustMake(document), "xya\xC3\xA9"), ElementsAre("?", "?", "a", "?"));
  document["model"]["fuse_unk"] = true;
  EXPECT_THAT(TokensOf(MustMake(document), "xya\xC3\xA9"), ElementsAre("?", "a", "?"));
}

TEST(Bpe, ByteFallbackNeedsAllBytesOfACharacter) {
  Json document = BpeDocument({"?", "a", "<0xC3>", "<0xA9>", "<0x0A>"});
  document["model"]["unk_token"] = "?";
  document["model"]["byte_fallback"] = true;
  const Tokenizer tokenizer = MustMake(document);
  EXPECT_THAT(TokensOf(tokenizer, "a\xC3\xA9\n"), ElementsAre("a", "<0xC3>", "<0xA9>", "<0x0A>"));
  EXPECT_THAT(TokensOf(tokenizer, "\xC3\xA8"), ElementsAre("?"));
}

TEST(Bpe, IgnoreMergesPrefersWholeWords) {
  Json document = BpeDocument({"a", "b", "c", "bc", "abc"}, {"b c"});
  EXPECT_THAT(TokensOf(MustMake(document), "abc"), ElementsAre("a", "bc"));
  document["model"]["ignore_merges"] = true;
  EXPECT_THAT(TokensOf(MustMake(document), "abc"), ElementsAre("abc"));
  EXPECT_THAT(TokensOf(MustMake(document), "abca"), ElementsAre("a", "bc", "a"));
}

TEST(Bpe, OlderFilesNameNoType) {
  Json document = BpeDocument({"a", "b", "ab"}, {"a b"});
  document["model"].erase("type");
  EXPECT_THAT(TokensOf(MustMake(document), "ab"), ElementsAre("ab"));
}

/// The definition: merge the best pair, look again at everything.
std::vector<std::string> MergeByDefinition(std::vector<std::string> symbols,
                                           const std::vector<std::string>& merges) {
  std::map<std::string, size_t> ranks;
  for (size_t rank = 0; rank < merges.size(); ++rank) ranks[merges[rank]] = rank;
  while (true) {
    size_t best = merges.size(), at = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto rank = ranks.find(symbols[i] + " " + symbols[i + 1]);
      if (rank != ranks.end() && rank->second < best) best = rank->second, at = i;
    }
    if (best == merges.size()) return symbols;
    symbols[at] += symbols[at + 1];
    symbols.erase(symbols.begin() + at + 1);
  }
}

/// A random alphabet of symbols (some of several characters: byte tokens) and random merges.
struct RandomRules {
  std::vector<std::string> tokens, merges;

  RandomRules(Random& random, const std::vector<std::string>& symbols) : tokens(symbols) {
    const uint64_t num_merges = 1 + random.NextBelow(25);
    for (uint64_t i = 0; i < num_merges; ++i) {
      const std::string left = tokens[random.NextBelow(tokens.size())];
      const std::string right = tokens[random.NextBelow(tokens.size())];
      const std::string joined = left + right;
      if (joined.size() > 40) continue;
      merges.push_back(left + " " + right);
      if (std::find(tokens.begin(), tokens.end(), joined) == tokens.end()) tokens.push_back(joined);
    }
  }
};

TEST(Bpe, EqualsTheDefinitionOnRandomRules) {
  Random random(1);
  for (int round = 0; round < 300; ++round) {
    const RandomRules rules(random, {"a", "b", "c", "\xC3\xA9", "d"});
    const Tokenizer tokenizer = MustMake(BpeDocument(rules.tokens, rules.merges));
    std::string text;
    std::vector<std::string> symbols;
    for (uint64_t i = random.NextBelow(60); i > 0; --i) {
      symbols.push_back(rules.tokens[random.NextBelow(5)]);
      text += symbols.back();
    }
    EXPECT_EQ(TokensOf(tokenizer, text), MergeByDefinition(symbols, rules.merges)) << text;
    EXPECT_EQ(TokensOf(tokenizer, text), MergeByDefinition(symbols, rules.merges)) << "from cache";
  }
}

TEST(Bpe, MergesOfByteTokensAndUnkEqualTheDefinition) {
  Random random(2);
  for (int round = 0; round < 300; ++round) {
    const RandomRules rules(random, {"a", "<", ">", "<0x78>", "<0x79>", "?!"});
    Json document = BpeDocument(rules.tokens, rules.merges);
    document["model"]["byte_fallback"] = true;
    document["model"]["unk_token"] = "?!";
    const Tokenizer tokenizer = MustMake(document);
    std::string text;
    std::vector<std::string> symbols;
    for (uint64_t i = random.NextBelow(40); i > 0; --i) {
      const uint64_t symbol = random.NextBelow(6);
      symbols.push_back(rules.tokens[symbol]);
      text += std::string("a<>xyz")[symbol];
    }
    EXPECT_EQ(TokensOf(tokenizer, text), MergeByDefinition(symbols, rules.merges)) << text;
  }
}

TEST(Bpe, OneHugeWordMergesInReasonableTime) {
  const std::vector<std::string> tokens = {"a", "aa", "aaaa", "b"};
  const Tokenizer tokenizer = MustMake(BpeDocument(tokens, {"a a", "aa aa"}));
  const std::string text = std::string(400'001, 'a') + "b";
  const std::vector<int32_t> ids = MustEncode(tokenizer, text);
  ASSERT_EQ(ids.size(), 100'002u);
  EXPECT_EQ(ids.front(), 2);
  EXPECT_EQ(ids[100'000], 0);
  EXPECT_EQ(ids.back(), 3);
}

TEST(MergeTable, FindsWhatWasInserted) {
  MergeTable table(500);
  for (int32_t i = 0; i < 500; ++i) table.Insert(i, i * 7919, {i, i + 1});
  for (int32_t i = 0; i < 500; ++i) {
    const Merge* merge = table.Find(i, i * 7919);
    ASSERT_NE(merge, nullptr);
    EXPECT_EQ(merge->rank, i);
    EXPECT_EQ(merge->id, i + 1);
    EXPECT_EQ(table.Find(i, i * 7919 + 1), nullptr);
  }
}

TEST(WordLevel, WholeWordsOrUnknown) {
  const Json document = {
      {"model", {{"type", "WordLevel"}, {"vocab", VocabOf({"?", "ab", "c"})}, {"unk_token", "?"}}},
      {"pre_tokenizer",
       {{"type", "Split"},
        {"pattern", {{"String", " "}}},
        {"behavior", "Removed"},
        {"invert", false}}}};
  const Tokenizer tokenizer = MustMake(document);
  EXPECT_THAT(TokensOf(tokenizer, "c ab x"), ElementsAre("c", "ab", "?"));
  EXPECT_THAT(MustEncode(tokenizer, ""), IsEmpty());
}

}  // namespace
}  // namespace unswift
