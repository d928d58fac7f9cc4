// Conversations as transformers renders them. scripts/make_template_fixtures made the files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testing/test_data.h"
#include "unswift/jinja/template.h"
#include "unswift/tokenizer/chat_template.h"

namespace unswift {
namespace {

using testing::HasSubstr;

OrderedJson ReadGolden(const std::string& name) {
  const std::string path = "tests/golden/templates/" + name + ".json";
  Result<OrderedJson> json = ParseOrderedJson(ReadTextFile(path), path);
  if (!json) throw std::runtime_error(json.error().message);
  return *std::move(json);
}

/// As transformers passes the variables, reasoning under its other names included.
OrderedJson Variables(const OrderedJson& conversation, const OrderedJson& special_tokens) {
  OrderedJson variables = special_tokens;
  variables.update(conversation.value("variables", OrderedJson::object()));
  variables["messages"] = conversation.at("messages");
  for (OrderedJson& message : variables["messages"]) {
    if (message.contains("thinking")) message["reasoning_content"] = message["thinking"];
  }
  variables["tools"] = conversation.value("tools", OrderedJson());
  variables["add_generation_prompt"] = conversation.at("add_generation_prompt");
  return variables;
}

TEST(SnippetGolden, EqualsJinja) {
  const OrderedJson golden = ReadGolden("snippets");
  ASSERT_GE(golden.at("cases").size(), 100u);
  for (const OrderedJson& snippet : golden.at("cases")) {
    const std::string source = snippet.at("source");
    SCOPED_TRACE(source);
    const auto parsed = jinja::Template::Parse(source, "snippet");
    const auto rendered = parsed ? parsed->Render(golden.at("variables"))
                                 : Result<std::string>(tl::unexpected(parsed.error()));
    if (snippet.contains("expected")) {
      EXPECT_TRUE(rendered) << rendered.error().message;
      EXPECT_EQ(rendered.value_or(""), snippet.at("expected").get<std::string>());
      continue;
    }
    ASSERT_FALSE(rendered) << *rendered;
    EXPECT_THAT(rendered.error().message, HasSubstr("line 1: "));
    if (snippet.at("error").is_string()) {
      EXPECT_THAT(rendered.error().message, HasSubstr(snippet.at("error").get<std::string>()));
    }
  }
}

class TemplateGolden : public testing::TestWithParam<const char*> {};

TEST_P(TemplateGolden, EqualsTransformers) {
  const OrderedJson golden = ReadGolden(GetParam());
  const auto parsed = jinja::Template::Parse(golden.at("template").get<std::string>(), GetParam());
  ASSERT_TRUE(parsed) << parsed.error().message;
  int texts = 0, errors = 0;
  for (const OrderedJson& conversation : ReadGolden("conversations")) {
    const std::string name = conversation.at("name");
    SCOPED_TRACE(name);
    const OrderedJson& expected = golden.at("outcomes").at(name);
    const auto rendered = parsed->Render(Variables(conversation, golden.at("special_tokens")));
    if (expected.is_string()) {
      ASSERT_TRUE(rendered) << rendered.error().message;
      EXPECT_EQ(*rendered, expected.get<std::string>());
      ++texts;
    } else {
      ASSERT_FALSE(rendered) << *rendered;
      const OrderedJson& raised = expected.at("error");
      if (raised.is_string()) {
        EXPECT_THAT(rendered.error().message, HasSubstr(raised.get<std::string>()));
      }
      ++errors;
    }
  }
  EXPECT_GE(texts, 20);
  EXPECT_GE(errors, 1);
}

INSTANTIATE_TEST_SUITE_P(All, TemplateGolden,
                         testing::Values("smollm2", "llama-2", "llama-3.1", "mistral-v1",
                                         "mistral-v3", "qwen2.5", "qwen3", "phi-3", "gemma-2"),
                         [](const testing::TestParamInfo<const char*>& info) {
                           std::string name = info.param;
                           std::replace_if(
                               name.begin(), name.end(), [](char c) { return !std::isalnum(c); },
                               '_');
                           return name;
                         });

// The same through messages that were parsed from a request, as the program does it.
TEST_P(TemplateGolden, ChatTemplateGivesTheSame) {
  const OrderedJson golden = ReadGolden(GetParam());
  Json config = Json::parse(golden.at("special_tokens").dump());
  config["chat_template"] = golden.at("template");
  const TempDir directory;
  WriteTextFile(directory / "tokenizer_config.json", config.dump());
  const Result<ChatTemplate> chat_template = ChatTemplate::Open(directory.path());
  ASSERT_TRUE(chat_template) << chat_template.error().message;
  int texts = 0;
  for (const OrderedJson& conversation : ReadGolden("conversations")) {
    const auto messages = ParseMessages(conversation.at("messages"), "request");
    const std::string name = conversation.at("name");
    const OrderedJson& expected = golden.at("outcomes").at(name);
    if (!messages || !expected.is_string()) continue;
    const auto rendered =
        chat_template->Render(Chat{*messages, conversation.value("tools", OrderedJson())},
                              conversation.at("add_generation_prompt").get<bool>(),
                              conversation.value("variables", OrderedJson::object()));
    ASSERT_TRUE(rendered) << name << rendered.error().message;
    EXPECT_EQ(*rendered, expected.get<std::string>()) << name;
    ++texts;
  }
  EXPECT_GE(texts, 20);
}

}  // namespace
}  // namespace unswift
