#include "unswift/runtime/prompts.h"

#include <gtest/gtest.h>

#include "tests/testing/test_data.h"
#include "tests/testing/tiny_model.h"

namespace unswift {
namespace {

TEST(ReadPrompts, TakesTextMessagesAndIds) {
  const TempDir directory;
  WriteTextFile(directory / "p.jsonl",
                "{\"prompt\": \"abc\"}\n\n{\"ids\": [1, 2]}\n"
                "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]}\n");
  const auto prompts = ReadPrompts(directory / "p.jsonl");
  ASSERT_TRUE(prompts.has_value()) << prompts.error().message;
  ASSERT_EQ(prompts->size(), 3u);
  EXPECT_EQ(std::get<std::string>((*prompts)[0]), "abc");
  EXPECT_EQ(std::get<std::vector<int32_t>>((*prompts)[1]), (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(std::get<Chat>((*prompts)[2]).messages[0].content, "hi");
}

TEST(ReadPrompts, ErrorsNameTheLine) {
  const TempDir directory;
  for (const char* bad : {"{\"prompt\": 3}", "{\"ids\": []}", "{\"ids\": [1, -1]}", "{\"x\": 1}",
                          "[1]", "{\"messages\": \"hi\"}", "not json"}) {
    WriteTextFile(directory / "p.jsonl", std::string("{\"prompt\": \"a\"}\n") + bad + "\n");
    const auto prompts = ReadPrompts(directory / "p.jsonl");
    ASSERT_FALSE(prompts.has_value()) << bad;
    EXPECT_NE(prompts.error().message.find("2"), std::string::npos) << prompts.error().message;
  }
  WriteTextFile(directory / "p.jsonl", "\n");
  EXPECT_FALSE(ReadPrompts(directory / "p.jsonl").has_value());
}

TEST(PromptEncoder, AModelWithoutChatTemplateStillTakesText) {
  const TempDir directory;
  TinyModel tiny = MakeTinyLlama(1, true);
  WriteTinyModel(tiny, directory.path());
  const auto encoder = PromptEncoder::Open(directory.path());
  ASSERT_TRUE(encoder.has_value()) << encoder.error().message;
  EXPECT_EQ(encoder->Encode(std::string("cab")).value(), (std::vector<int32_t>{2, 0, 1}));
  EXPECT_FALSE(encoder->Encode(UserMessage("a")).has_value());
}

}  // namespace
}  // namespace unswift
