#include "unswift/tokenizer/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testing/test_data.h"

namespace unswift {
namespace {

using testing::HasSubstr;

constexpr char kPlain[] =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ "
    "'<|im_end|>' + '\\n'}}{% endfor %}";
constexpr char kWithSystem[] =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nDon\\'t \"lie\".<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}";

std::string Render(const char* text, const std::vector<ChatMessage>& messages, bool prompt) {
  const Result<ChatTemplate> chat_template = ChatTemplate::FromText(text, "tiny");
  EXPECT_TRUE(chat_template) << chat_template.error().message;
  const Result<std::string> rendered = chat_template->Render(messages, prompt);
  EXPECT_TRUE(rendered) << rendered.error().message;
  return rendered.value_or("");
}

TEST(ChatTemplate, WithoutDefaultSystemMessage) {
  EXPECT_EQ(Render(kPlain, {{"user", "Hi"}, {"assistant", "Yes?"}}, false),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYes?<|im_end|>\n");
  EXPECT_EQ(Render(kPlain, {{"user", "Hi"}}, true),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
}

TEST(ChatTemplate, DefaultSystemMessageStandsInForAMissingOne) {
  EXPECT_EQ(Render(kWithSystem, {{"user", "Hi"}}, false),
            "<|im_start|>system\nDon't \"lie\".<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n");
  EXPECT_EQ(Render(kWithSystem, {{"system", "Be"}, {"user", "Hi"}}, false),
            "<|im_start|>system\nBe<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n");
  EXPECT_EQ(Render(kWithSystem, {}, true), "<|im_start|>assistant\n");
}

TEST(ChatTemplate, OtherDialectsAreUnsupported) {
  for (const char* text :
       {"", "{{ '[INST] ' }}", "<|im_start|>", "<|im_end|>", "<|im_start|><|im_sep|><|im_end|>",
        "{{bos_token}}<|im_start|><|im_end|>"}) {
    const Result<ChatTemplate> chat_template = ChatTemplate::FromText(text, "tiny");
    ASSERT_FALSE(chat_template) << text;
    EXPECT_EQ(chat_template.error().code, ErrorCode::kUnsupported);
    EXPECT_THAT(chat_template.error().message, HasSubstr("tiny: expected a"));
  }
}

TEST(ChatTemplate, UnfinishedLiteralsAreNoLiterals) {
  EXPECT_EQ(
      Render("<|im_start|><|im_end|>'<|im_start|>system\nx<|im_end|>\n", {{"user", "a"}}, false),
      "<|im_start|>user\na<|im_end|>\n");
}

TEST(ChatTemplate, RefusesRolesThatBreakTheFrame) {
  const Result<ChatTemplate> chat_template = ChatTemplate::FromText(kPlain, "tiny");
  ASSERT_TRUE(chat_template);
  for (const char* role : {"", "a\nb"}) {
    const auto rendered = chat_template->Render({{role, "x"}}, false);
    ASSERT_FALSE(rendered);
    EXPECT_EQ(rendered.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(ChatTemplate, OpensADirectory) {
  const TempDir directory;
  const auto open = [&] { return ChatTemplate::Open(directory.path()); };
  ASSERT_FALSE(open());
  EXPECT_EQ(open().error().code, ErrorCode::kNotFound);
  WriteTextFile(directory / "tokenizer_config.json", "{}");
  ASSERT_FALSE(open());
  EXPECT_EQ(open().error().code, ErrorCode::kNotFound);
  WriteTextFile(directory / "tokenizer_config.json", R"({"chat_template": 1})");
  ASSERT_FALSE(open());
  EXPECT_EQ(open().error().code, ErrorCode::kInvalidData);
  WriteTextFile(directory / "tokenizer_config.json", Json{{"chat_template", kPlain}}.dump());
  EXPECT_TRUE(open());
  WriteTextFile(
      directory / "tokenizer_config.json",
      Json{{"chat_template",
            {{{"name", "tools"}, {"template", "x"}}, {{"name", "default"}, {"template", kPlain}}}}}
          .dump());
  EXPECT_TRUE(open());
}

TEST(ParseMessages, ReadsRolesAndContents) {
  const auto messages =
      ParseMessages(Json::parse(R"([{"role": "user", "content": "Hi"}])"), "request");
  ASSERT_TRUE(messages);
  ASSERT_EQ(messages->size(), 1u);
  EXPECT_EQ((*messages)[0].role, "user");
  EXPECT_EQ((*messages)[0].content, "Hi");
}

TEST(ParseMessages, NamesTheFault) {
  for (const char* json :
       {"{}", "[]", "1", "[1]", R"([{"role": "user"}])", R"([{"content": "x"}])",
        R"([{"role": "user", "content": ["x"]}])", R"([{"role": 1, "content": "x"}])"}) {
    const auto messages = ParseMessages(Json::parse(json), "request");
    ASSERT_FALSE(messages) << json;
    EXPECT_EQ(messages.error().code, ErrorCode::kInvalidData);
    EXPECT_THAT(messages.error().message, HasSubstr("request"));
  }
}

}  // namespace
}  // namespace unswift
