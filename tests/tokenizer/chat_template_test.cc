#include "unswift/tokenizer/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testing/test_data.h"

namespace unswift {
namespace {

using testing::HasSubstr;

#define GENERATION_PROMPT "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
constexpr char kPlain[] =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>' + '\\n'}}{% endfor %}" GENERATION_PROMPT;
constexpr char kWithSystem[] =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nDon\\'t \"lie\".<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}" GENERATION_PROMPT;

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

TEST(ChatTemplate, FaultsOfATemplateNameItsFile) {
  const Result<ChatTemplate> chat_template = ChatTemplate::FromText("\n{% if %}", "tiny");
  ASSERT_FALSE(chat_template);
  EXPECT_THAT(chat_template.error().message, HasSubstr("tiny: line 2: "));
  const auto refused = ChatTemplate::FromText("{{ raise_exception('no') }}", "tiny")
                           ->Render(std::vector<ChatMessage>{}, true);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("tiny: line 1: "));
  EXPECT_THAT(refused.error().message, HasSubstr("refuses this conversation: no"));
}

// Parts, calls and null contents reach the template as they were given; a changed role or text
// wins.
TEST(ChatTemplate, MessagesKeepWhatElseTheyHold) {
  const OrderedJson given = OrderedJson::parse(R"([
      {"z": 1, "role": "user", "content": "a", "b": [2]},
      {"role": "assistant", "tool_calls": [{"x": null}]},
      {"role": "assistant", "content": null, "tool_calls": []},
      {"role": "user", "content": [{"type": "text", "text": "t"}]}])");
  std::vector<ChatMessage> messages = ParseMessages(given, "request").value();
  const char* const all = "{% for m in messages %}{{ m | tojson }}\n{% endfor %}";
  EXPECT_EQ(Render(all, messages, false),
            "{\"z\": 1, \"role\": \"user\", \"content\": \"a\", \"b\": [2]}\n"
            "{\"role\": \"assistant\", \"tool_calls\": [{\"x\": null}]}\n"
            "{\"role\": \"assistant\", \"content\": null, \"tool_calls\": []}\n"
            "{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"t\"}]}\n");
  messages[0].content = "changed";
  messages.resize(1);
  EXPECT_THAT(Render(all, messages, false), HasSubstr("\"content\": \"changed\", \"b\""));
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
}

std::string RenderOf(const TempDir& directory, const Chat& chat) {
  const auto chat_template = ChatTemplate::Open(directory.path());
  EXPECT_TRUE(chat_template) << chat_template.error().message;
  return chat_template->Render(chat, false).value_or("error");
}

TEST(ChatTemplate, ToolsPickTheirOwnTemplate) {
  const TempDir directory;
  const Json named = {{{"name", "tool_use"}, {"template", "T{{ tools[0] }}{{ bos_token }}"}},
                      {{"name", "default"}, {"template", "D{{ tools }}{{ bos_token }}"}}};
  WriteTextFile(directory / "tokenizer_config.json",
                Json{{"chat_template", named}, {"bos_token", {{"content", "<s>"}}}}.dump());
  EXPECT_EQ(RenderOf(directory, UserMessage("a")), "DNone<s>");
  Chat chat = UserMessage("a");
  chat.tools = {"f"};
  EXPECT_EQ(RenderOf(directory, chat), "Tf<s>");
  WriteTextFile(directory / "tokenizer_config.json",
                Json{{"chat_template", Json::array({named[0]})}}.dump());
  const auto without_default = ChatTemplate::Open(directory.path());
  ASSERT_FALSE(without_default);
  EXPECT_EQ(without_default.error().code, ErrorCode::kNotFound);
}

TEST(ChatTemplate, AFileOfItsOwnComesFirst) {
  const TempDir directory;
  WriteTextFile(directory / "tokenizer_config.json",
                R"({"chat_template": "old", "eos_token": "</s>"})");
  WriteTextFile(directory / "chat_template.jinja", "new{{ eos_token }}\n");
  EXPECT_EQ(RenderOf(directory, UserMessage("a")), "new</s>");
}

TEST(ParseMessages, ReadsRolesAndContents) {
  const auto messages =
      ParseMessages(OrderedJson::parse(R"([{"role": "user", "content": "Hi"}])"), "request");
  ASSERT_TRUE(messages);
  ASSERT_EQ(messages->size(), 1u);
  EXPECT_EQ((*messages)[0].role, "user");
  EXPECT_EQ((*messages)[0].content, "Hi");
}

TEST(ParseMessages, NamesTheFault) {
  for (const char* json :
       {"{}", "[]", "1", "[1]", R"([{"role": "user"}])", R"([{"content": "x"}])",
        R"([{"role": "user", "content": ["x"]}])", R"([{"role": 1, "content": "x"}])"}) {
    const auto messages = ParseMessages(OrderedJson::parse(json), "request");
    ASSERT_FALSE(messages) << json;
    EXPECT_EQ(messages.error().code, ErrorCode::kInvalidData);
    EXPECT_THAT(messages.error().message, HasSubstr("request"));
  }
}

}  // namespace
}  // namespace unswift
