#include "unswift/io/gguf_tokenizer.h"
#include "unswift/io/json.h"

#include <algorithm>
#include <string>
#include <vector>

#include "tests/base/expect_error.h"
#include "tests/io/gguf_builder.h"
#include "tests/testing/test_data.h"

namespace unswift {
namespace {

using V = GgufTestValue;

Result<GgufFile> Open(const GgufBuilder& builder) {
  const TempDir dir;
  WriteTextFile(dir / "model.gguf", builder.Build());
  return GgufFile::Open(dir / "model.gguf");
}

Result<Json> Convert(const GgufBuilder& builder) {
  UNSWIFT_ASSIGN_OR_RETURN(const GgufFile file, Open(builder));
  return TokenizerJsonFromGguf(file);
}

GgufBuilder ByteLevelBpe(const char* pre) {
  GgufBuilder builder;
  builder.Value("tokenizer.ggml.model", V::String("gpt2"))
      .Value("tokenizer.ggml.pre", V::String(pre))
      .Value("tokenizer.ggml.tokens", V::Strings({"<|end|>", "a", "b", "ab", "  ", "<|start|>"}))
      .Value("tokenizer.ggml.token_type", V::Ints({3, 1, 1, 1, 4, 3}))
      .Value("tokenizer.ggml.merges", V::Strings({"a b"}))
      .Value("tokenizer.ggml.bos_token_id", V::Uint32(5))
      .Value("tokenizer.ggml.eos_token_id", V::Uint32(0));
  return builder;
}

TEST(TokenizerJsonFromGguf, ByteLevelBpe) {
  const auto json = Convert(ByteLevelBpe("smollm"));
  ASSERT_TRUE(Succeeds(json));
  EXPECT_TRUE((*json)["model"]["vocab"] ==
              Json({{"<|end|>", 0}, {"a", 1}, {"b", 2}, {"ab", 3}, {"  ", 4}, {"<|start|>", 5}}));
  EXPECT_TRUE((*json)["model"]["merges"] == Json::array({"a b"}));
  EXPECT_TRUE((*json)["post_processor"].is_null());
  const Json& added = (*json)["added_tokens"];
  ASSERT_EQ(added.size(), 3u);
  EXPECT_TRUE(added[0]["content"] == "<|end|>" && added[0]["special"] == true);
  EXPECT_TRUE(added[1]["content"] == "  " && added[1]["special"] == false && added[1]["id"] == 4);
  EXPECT_TRUE(added[2]["content"] == "<|start|>" && added[2]["special"] == true);
}

TEST(TokenizerJsonFromGguf, PreTokenizers) {
  const auto plain = Convert(ByteLevelBpe("gpt-2"));
  ASSERT_TRUE(Succeeds(plain));
  EXPECT_EQ((*plain)["pre_tokenizer"]["type"], "ByteLevel");
  EXPECT_EQ((*plain)["pre_tokenizer"]["use_regex"], true);
  EXPECT_EQ((*plain)["pre_tokenizer"]["add_prefix_space"], false);
  // Older files have no such value: then the family tells, where it can.
  for (GgufBuilder old : {ByteLevelBpe("").Remove("tokenizer.ggml.pre"), ByteLevelBpe("default")}) {
    EXPECT_TRUE(FailsWith(Convert(old), ErrorCode::kUnsupported, "expected tokenizer.ggml.pre"));
    const auto family = Convert(old.Value("general.architecture", V::String("gptneox")));
    ASSERT_TRUE(Succeeds(family));
    EXPECT_TRUE(*family == *plain);
  }
  const auto digits = Convert(ByteLevelBpe("smollm"));
  ASSERT_TRUE(Succeeds(digits));
  EXPECT_TRUE((*digits)["pre_tokenizer"]["pretokenizers"][0] ==
              Json({{"type", "Digits"}, {"individual_digits", true}}));
  EXPECT_TRUE(FailsWith(Convert(ByteLevelBpe("other-bpe")), ErrorCode::kUnsupported,
                        "no pre-tokenizer 'other-bpe'"));
  EXPECT_TRUE(
      FailsWith(Convert(ByteLevelBpe("qwen-2")), ErrorCode::kUnsupported, "did you mean 'qwen2'?"));
  const auto coder = Convert(ByteLevelBpe("deepseek-coder"));
  ASSERT_TRUE(Succeeds(coder));
  const Json& steps = (*coder)["pre_tokenizer"]["pretokenizers"];
  ASSERT_EQ(steps.size(), 6u);
  EXPECT_EQ(steps[4]["pattern"]["Regex"], R"(\p{N})");
  EXPECT_EQ(steps[5]["use_regex"], false);
}

/// What changes ids: everything of the pre-tokenizer but offsets.
void ExpectSamePreTokenizer(const char* pre, const char* folder) {
  const auto json = Convert(ByteLevelBpe(pre));
  ASSERT_TRUE(Succeeds(json));
  const Json golden = ReadJsonFile(TestDataDir() / "tokenizers" / folder / "tokenizer.json");
  const Json& ours = (*json)["pre_tokenizer"]["pretokenizers"];
  const Json& theirs = golden["pre_tokenizer"]["pretokenizers"];
  EXPECT_TRUE(ours[0] == theirs[0]) << ours[0].dump() << theirs[0].dump();
  EXPECT_EQ(ours[1]["use_regex"], theirs[1]["use_regex"]);
  EXPECT_EQ(ours[1]["add_prefix_space"], theirs[1]["add_prefix_space"]);
  EXPECT_TRUE((*json)["normalizer"] == golden["normalizer"]);
  EXPECT_EQ((*json)["model"]["ignore_merges"], golden["model"]["ignore_merges"]);
}

TEST(TokenizerJsonFromGguf, LlamaBpeIsLlama3) {
  UNSWIFT_NEEDS_DATA("tokenizers/llama-3/tokenizer.json");
  ExpectSamePreTokenizer("llama-bpe", "llama-3");
}

TEST(TokenizerJsonFromGguf, Qwen2) {
  UNSWIFT_NEEDS_DATA("tokenizers/qwen2/tokenizer.json");
  ExpectSamePreTokenizer("qwen2", "qwen2");
}

TEST(TokenizerJsonFromGguf, AddsBosAndEosAsTheFileSays) {
  GgufBuilder builder = ByteLevelBpe("gpt-2");
  builder.Value("tokenizer.ggml.add_bos_token", V::Bool(true))
      .Value("tokenizer.ggml.add_eos_token", V::Bool(true));
  const auto json = Convert(builder);
  ASSERT_TRUE(Succeeds(json));
  const Json expected = Json::parse(R"({"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<|start|>", "type_id": 0}},
               {"Sequence": {"id": "A", "type_id": 0}},
               {"SpecialToken": {"id": "<|end|>", "type_id": 0}}],
    "pair": [{"SpecialToken": {"id": "<|start|>", "type_id": 0}},
             {"Sequence": {"id": "A", "type_id": 0}},
             {"SpecialToken": {"id": "<|end|>", "type_id": 0}},
             {"SpecialToken": {"id": "<|start|>", "type_id": 1}},
             {"Sequence": {"id": "B", "type_id": 1}},
             {"SpecialToken": {"id": "<|end|>", "type_id": 1}}],
    "special_tokens": {
      "<|start|>": {"id": "<|start|>", "ids": [5], "tokens": ["<|start|>"]},
      "<|end|>": {"id": "<|end|>", "ids": [0], "tokens": ["<|end|>"]}}})");
  EXPECT_TRUE((*json)["post_processor"] == expected) << (*json)["post_processor"].dump(1);
  EXPECT_TRUE(FailsWith(Convert(builder.Remove("tokenizer.ggml.bos_token_id")),
                        ErrorCode::kInvalidData, "tokenizer.ggml.bos_token_id"));
  // Llama 3 files without the flag begin with BOS.
  EXPECT_FALSE(Convert(ByteLevelBpe("llama-bpe")).value()["post_processor"].is_null());
}

TEST(TokenizerJsonFromGguf, RefusesContradictions) {
  const auto invalid = ErrorCode::kInvalidData;
  const auto with = [](const char* key, const GgufTestValue& value) {
    return Convert(ByteLevelBpe("gpt-2").Set(key, value));
  };
  EXPECT_TRUE(FailsWith(with("tokenizer.ggml.model", V::String("t5")), ErrorCode::kUnsupported,
                        "as tokenizer.ggml.model, got 't5'"));
  EXPECT_TRUE(FailsWith(with("tokenizer.ggml.tokens", V::Strings({"a", "a"})), invalid,
                        "expected 2 elements in tokenizer.ggml.token_type, got 6"));
  EXPECT_TRUE(FailsWith(with("tokenizer.ggml.tokens", V::Strings({"a", "b", "c", "d", "e", "b"})),
                        invalid, "expected unique tokens, got 'b' twice"));
  EXPECT_TRUE(
      FailsWith(with("tokenizer.ggml.tokens", V::Strings({"a", "b", "c", "d", "e", "\xff"})),
                invalid, "tokenizer.ggml.tokens'[5]"));
  for (const char* merge : {"ab", " ab", "ab ", "a b c", ""}) {
    EXPECT_TRUE(FailsWith(with("tokenizer.ggml.merges", V::Strings({merge})), invalid,
                          "expected two tokens"))
        << merge;
  }
  EXPECT_TRUE(FailsWith(Convert(ByteLevelBpe("gpt-2").Remove("tokenizer.ggml.merges")),
                        ErrorCode::kNotFound, "tokenizer.ggml.merges"));
  EXPECT_TRUE(FailsWith(Convert(GgufBuilder()), ErrorCode::kNotFound, "tokenizer.ggml.model"));
}

TEST(TokenizerConfigFromGguf, NamesTheSpecialTokens) {
  GgufBuilder builder = ByteLevelBpe("gpt-2");
  builder.Value("tokenizer.ggml.padding_token_id", V::Uint32(0))
      .Value("tokenizer.ggml.unknown_token_id", V::Uint32(0xffffffff))
      .Value("tokenizer.chat_template", V::String("{{ messages }}"));
  const auto file = Open(builder);
  ASSERT_TRUE(Succeeds(file));
  const auto json = TokenizerConfigFromGguf(*file, 77);
  ASSERT_TRUE(Succeeds(json));
  EXPECT_EQ((*json)["bos_token"], "<|start|>");
  EXPECT_EQ((*json)["eos_token"], "<|end|>");
  EXPECT_EQ((*json)["pad_token"], "<|end|>");
  EXPECT_FALSE(json->contains("unk_token"));
  EXPECT_EQ((*json)["model_max_length"], 77);
  EXPECT_EQ((*json)["chat_template"], "{{ messages }}");
  const auto bad = Open(builder.Set("tokenizer.ggml.eos_token_id", V::Uint32(6)));
  ASSERT_TRUE(Succeeds(bad));
  EXPECT_TRUE(FailsWith(TokenizerConfigFromGguf(*bad, 77), ErrorCode::kInvalidData,
                        "'tokenizer.ggml.eos_token_id': expected an id below 6, got 6"));
}

GgufBuilder SentencePiece(const std::vector<std::string>& tokens, const std::vector<float>& scores,
                          const std::vector<int32_t>& types) {
  GgufBuilder builder;
  builder.Value("tokenizer.ggml.model", V::String("llama"))
      .Value("tokenizer.ggml.tokens", V::Strings(tokens))
      .Value("tokenizer.ggml.scores", V::Floats(scores))
      .Value("tokenizer.ggml.token_type", V::Ints(types))
      .Value("tokenizer.ggml.bos_token_id", V::Uint32(1))
      .Value("tokenizer.ggml.eos_token_id", V::Uint32(2))
      .Value("tokenizer.ggml.unknown_token_id", V::Uint32(0));
  return builder;
}

TEST(TokenizerJsonFromGguf, SentencePieceMergesGoByScore) {
  // "abc" = ab|c or a|bc; "ab" scores below "bc"; control pieces are never joined.
  const GgufBuilder builder =
      SentencePiece({"<unk>", "<s>", "</s>", "a", "b", "c", "ab", "bc", "abc", "<", "s>"},
                    {0, 0, 0, -9, -9, -9, -2, -1, -3, -9, -9}, {2, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1});
  const auto json = Convert(builder);
  ASSERT_TRUE(Succeeds(json));
  const Json expected = Json::parse(R"([["b","c"],["a","b"],["a","bc"],["ab","c"]])");
  EXPECT_TRUE((*json)["model"]["merges"] == expected) << (*json)["model"]["merges"].dump();
  EXPECT_EQ((*json)["model"]["unk_token"], "<unk>");
  EXPECT_EQ((*json)["model"]["byte_fallback"], false);  // no byte pieces
}

TEST(TokenizerJsonFromGguf, SentencePieceWithoutALeadingSpace) {
  GgufBuilder builder = SentencePiece({"<unk>", "<s>", "</s>", "a"}, {0, 0, 0, -1}, {2, 3, 3, 1});
  const auto with = Convert(builder);
  const auto without = Convert(builder.Value("tokenizer.ggml.add_space_prefix", V::Bool(false)));
  ASSERT_TRUE(with && without);
  EXPECT_EQ((*with)["normalizer"]["normalizers"].size(), 2u);
  EXPECT_EQ((*without)["normalizer"]["normalizers"].size(), 1u);
  EXPECT_EQ((*with)["decoder"]["decoders"].size(), 4u);
  EXPECT_EQ((*without)["decoder"]["decoders"].size(), 3u);
}

TEST(TokenizerJsonFromGguf, SentencePieceNeedsItsScores) {
  EXPECT_TRUE(FailsWith(Convert(SentencePiece({"<unk>", "<s>", "</s>"}, {0, 0}, {2, 3, 3})),
                        ErrorCode::kInvalidData, "expected 3 elements in tokenizer.ggml.scores"));
  EXPECT_TRUE(FailsWith(Convert(SentencePiece({"<unk>", "<s>", "a"}, {0, 0, NAN}, {2, 3, 1})),
                        ErrorCode::kInvalidData, "NaN"));
}

// A GGUF file made from a real tokenizer.json gives it back: pieces behind the bytes have the
// negated rank as their score, runs of spaces the least score.
TEST(TokenizerJsonFromGguf, SentencePieceGivesMistralBack) {
  UNSWIFT_NEEDS_DATA("tokenizers/mistral-v1/tokenizer.json");
  const Json golden = ReadJsonFile(TestDataDir() / "tokenizers/mistral-v1/tokenizer.json");
  const Json& vocab = golden["model"]["vocab"];
  std::vector<std::string> tokens(vocab.size());
  for (const auto& [token, id] : vocab.items()) tokens[id.get<size_t>()] = token;
  std::vector<float> scores(tokens.size());
  std::vector<int32_t> types(tokens.size(), 1);
  constexpr size_t kFirstByte = 3, kFirstPiece = 259;
  for (size_t id = 0; id < tokens.size(); ++id) {
    types[id] = id == 0 ? 2 : id < kFirstByte ? 3 : id < kFirstPiece ? 6 : 1;
    scores[id] = id < kFirstPiece ? 0 : -static_cast<float>(id - kFirstPiece);
    std::string rest = tokens[id];
    while (rest.starts_with("\xe2\x96\x81")) rest.erase(0, 3);
    if (rest.empty() && tokens[id].size() > 3) scores[id] = -1e9f;
  }
  const auto json = Convert(SentencePiece(tokens, scores, types));
  ASSERT_TRUE(Succeeds(json));
  for (const auto& [key, value] : golden.items()) {
    if (key != "model") {
      EXPECT_TRUE((*json)[key] == value) << key << " " << (*json)[key].dump();
    }
  }
  for (const auto& [key, value] : golden["model"].items()) {
    EXPECT_TRUE((*json)["model"][key] == value) << key;
  }
}

}  // namespace
}  // namespace unswift
