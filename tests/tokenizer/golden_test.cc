// Ids and texts of real tokenizers, computed by the reference implementation.
#include <gtest/gtest.h>

#include "tests/testing/test_data.h"
#include "tests/tokenizer/tiny_tokenizer.h"
#include "unswift/io/json.h"
#include "unswift/tokenizer/chat_template.h"

namespace unswift {
namespace {

using Ids = std::vector<int32_t>;
namespace fs = std::filesystem;

/// Names the vector in failures.
std::string Describe(const fs::path& file, size_t line) {
  return file.string() + ":" + std::to_string(line + 1);
}

/// Every vector of the file, and stream decoding of each.
void CheckVectors(const Tokenizer& tokenizer, const fs::path& file) {
  const std::vector<Json> vectors = ReadJsonLines(file).value();
  ASSERT_GT(vectors.size(), 200u);
  for (size_t line = 0; line < vectors.size(); ++line) {
    const Json& vector = vectors[line];
    SCOPED_TRACE(Describe(file, line));
    const std::string text = vector.at("text");
    const Ids ids = vector.at("ids"), plain_ids = vector.at("ids_no_special");
    EXPECT_EQ(MustEncode(tokenizer, text, true), ids);
    EXPECT_EQ(MustEncode(tokenizer, text, false), plain_ids);
    EXPECT_EQ(tokenizer.Decode(plain_ids, false), vector.at("decoded"));
    EXPECT_EQ(tokenizer.Decode(ids, true), vector.at("decoded_skip_special"));
    EXPECT_EQ(StreamDecode(tokenizer, plain_ids, false), vector.at("decoded"));
    EXPECT_EQ(StreamDecode(tokenizer, ids, true), vector.at("decoded_skip_special"));
  }
}

void CheckDirectory(const fs::path& directory) {
  const Result<Tokenizer> tokenizer = Tokenizer::Open(directory);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  CheckVectors(*tokenizer, directory / "vectors.jsonl");
}

class TokenizerGolden : public testing::TestWithParam<const char*> {};

TEST_P(TokenizerGolden, EqualsTheReference) {
  UNSWIFT_NEEDS_DATA(GetParam());
  CheckDirectory(TestDataDir() / GetParam());
}

INSTANTIATE_TEST_SUITE_P(All, TokenizerGolden,
                         testing::Values("tokenizers/llama-2", "tokenizers/llama-3",
                                         "tokenizers/mistral-v1", "tokenizers/mistral-v3",
                                         "tokenizers/phi-2", "tokenizers/gpt2", "tokenizers/qwen2",
                                         "tokenizers/phi-3-mini", "tokenizers/gpt-neox",
                                         "goldens/smollm2-135m-instruct"),
                         [](const testing::TestParamInfo<const char*>& info) {
                           std::string name = fs::path(info.param).filename().string();
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// Newer Llama-like files have Metaspace where older ones have a normalizer.
TEST(TokenizerGoldens, MistralWithMetaspaceEqualsTheReference) {
  UNSWIFT_NEEDS_DATA("tokenizers/mistral-v3");
  const fs::path directory = TestDataDir() / "tokenizers/mistral-v3";
  Json document = ReadJson(directory / "tokenizer.json").value();
  document["normalizer"] = nullptr;
  document["pre_tokenizer"] = {{"type", "Metaspace"},
                               {"replacement", "\xE2\x96\x81"},
                               {"prepend_scheme", "first"},
                               {"split", false}};
  CheckVectors(MustMake(document), directory / "vectors_metaspace.jsonl");
}

// Made by scripts/make_tokenizer_fixtures.
class UnigramGolden : public testing::TestWithParam<const char*> {};

TEST_P(UnigramGolden, EqualsTheReference) {
  const fs::path file = std::string("tests/golden/tokenizers/unigram_") + GetParam() + ".json";
  const Json golden = ReadJson(file).value();
  const Tokenizer tokenizer = MustMake(golden.at("tokenizer"));
  ASSERT_GT(golden.at("vectors").size(), 100u);
  for (const Json& vector : golden.at("vectors")) {
    const std::string text = vector.at("text");
    SCOPED_TRACE(text);
    const Ids ids = vector.at("ids");
    EXPECT_EQ(MustEncode(tokenizer, text), ids);
    EXPECT_EQ(tokenizer.Decode(ids, false), vector.at("decoded"));
    EXPECT_EQ(StreamDecode(tokenizer, ids, false), vector.at("decoded"));
  }
}

INSTANTIATE_TEST_SUITE_P(All, UnigramGolden, testing::Values("metaspace", "bytes", "whole_text"),
                         [](const auto& info) { return std::string(info.param); });

class ModelPrompts : public testing::TestWithParam<const char*> {};

TEST_P(ModelPrompts, EqualTheReference) {
  UNSWIFT_NEEDS_DATA(GetParam());
  const fs::path directory = TestDataDir() / GetParam();
  const Result<Tokenizer> tokenizer = Tokenizer::Open(directory);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const Json golden = ReadJson(directory / "golden.json").value();
  ASSERT_FALSE(golden.at("prompts").empty());
  for (const Json& prompt : golden.at("prompts")) {
    const std::string text = prompt.at("text");
    SCOPED_TRACE(text);
    EXPECT_EQ(MustEncode(*tokenizer, text, true), prompt.at("prompt_ids").get<Ids>());
    const Ids new_ids = prompt.at("new_ids");
    EXPECT_EQ(StreamDecode(*tokenizer, new_ids, true), tokenizer->Decode(new_ids, true));
  }
}

INSTANTIATE_TEST_SUITE_P(All, ModelPrompts,
                         testing::Values("models/stories260K", "models/babyllama105",
                                         "models/gpt-nano-sort"),
                         [](const testing::TestParamInfo<const char*>& info) {
                           std::string name = fs::path(info.param).filename().string();
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(ChatGoldens, SmolLm2ChatsEqualTheReference) {
  UNSWIFT_NEEDS_DATA("goldens/smollm2-135m-instruct/golden.json");
  const fs::path directory = TestDataDir() / "goldens/smollm2-135m-instruct";
  const Result<Tokenizer> tokenizer = Tokenizer::Open(directory);
  const Result<ChatTemplate> chat_template = ChatTemplate::Open(directory);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  ASSERT_TRUE(chat_template) << chat_template.error().message;
  const Json golden = ReadJson(directory / "golden.json").value();
  ASSERT_EQ(golden.at("chat").size(), 16u);
  for (const Json& chat : golden.at("chat")) {
    const auto messages =
        ParseMessages(OrderedJson::parse(chat.at("messages").dump()), "golden.json");
    ASSERT_TRUE(messages) << messages.error().message;
    const Result<std::string> text = chat_template->Render(*messages, true);
    ASSERT_TRUE(text) << text.error().message;
    EXPECT_EQ(*text, chat.at("templated_text"));
    EXPECT_EQ(MustEncode(*tokenizer, *text), chat.at("prompt_ids").get<Ids>());
    const Ids new_ids = chat.at("new_ids");
    EXPECT_EQ(StreamDecode(*tokenizer, new_ids, true), tokenizer->Decode(new_ids, true));
  }
}

TEST(ChatGoldens, ModelsWithoutTemplateAreNotFound) {
  UNSWIFT_NEEDS_DATA("models/stories260K");
  const auto chat_template = ChatTemplate::Open(TestDataDir() / "models/stories260K");
  ASSERT_FALSE(chat_template);
  EXPECT_EQ(chat_template.error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace unswift
