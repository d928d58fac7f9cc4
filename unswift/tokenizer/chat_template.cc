#include "unswift/tokenizer/chat_template.h"

#include <array>
#include <optional>
#include <utility>

#include "unswift/base/mapped_file.h"

namespace unswift {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 7> kSpecialTokens = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};
// The names under which a message's reasoning is passed; the first is the one that templates read.
constexpr std::array<std::string_view, 3> kReasoning = {"reasoning_content", "thinking",
                                                        "reasoning"};

/// Tokens are strings, or objects that hold the string as "content".
OrderedJson SpecialTokens(const Json& config) {
  OrderedJson tokens = OrderedJson::object();
  for (const std::string_view name : kSpecialTokens) {
    const auto field = config.find(name);
    if (field == config.end()) continue;
    const Json* token = &*field;
    if (token->is_object() && token->contains("content")) token = &token->at("content");
    if (token->is_string()) tokens[std::string(name)] = token->get<std::string>();
  }
  return tokens;
}

struct Texts {
  std::string standard;
  std::optional<std::string> with_tools;
};

/// The template of the config: a string, or the entries "default" and "tool_use" of a list.
Result<Texts> TemplateTexts(const Json& config, std::string_view what) {
  const auto field = config.find("chat_template");
  if (field == config.end() || !field->is_array()) {
    UNSWIFT_ASSIGN_OR_RETURN(std::string text,
                             GetField<std::string>(config, "chat_template", what));
    return Texts{std::move(text), std::nullopt};
  }
  std::optional<std::string> standard, with_tools;
  for (const Json& entry : *field) {
    UNSWIFT_ASSIGN_OR_RETURN(const std::string name, GetField<std::string>(entry, "name", what));
    UNSWIFT_ASSIGN_OR_RETURN(std::string text, GetField<std::string>(entry, "template", what));
    if (name == "default") standard = std::move(text);
    if (name == "tool_use") with_tools = std::move(text);
  }
  if (standard) return Texts{*std::move(standard), std::move(with_tools)};
  return MakeError(ErrorCode::kNotFound,
                   "[open_chat_template] {}: 'chat_template': expected an entry named 'default'",
                   what);
}

/// The message as the template sees it, with the reasoning under the names that templates read.
OrderedJson MessageJson(const ChatMessage& message) {
  OrderedJson json = message.fields;
  json["role"] = message.role;
  const auto content = json.find("content");
  const bool is_text = content != json.end() && content->is_string();
  if (message.fields.empty() || is_text) json["content"] = message.content;
  for (const std::string_view name : kReasoning) {
    const auto field = json.find(name);
    if (field == json.end() || field->is_null()) continue;
    const OrderedJson reasoning = *field;
    json["reasoning_content"] = reasoning;
    if (!json.contains("thinking")) json["thinking"] = reasoning;
    break;
  }
  return json;
}

Result<ChatMessage> ParseMessage(const OrderedJson& json, const std::string& where) {
  const auto fail = [&](std::string_view why) {
    return MakeError(ErrorCode::kInvalidData, "[parse_messages] {}: {}", where, why);
  };
  if (!json.is_object()) return fail("expected an object");
  ChatMessage message;
  message.fields = json;  // in the order given: a template may walk over the members
  const auto role = json.find("role");
  if (role == json.end() || !role->is_string()) return fail("'role': expected a string");
  message.role = *role;
  const auto content = json.find("content");
  const bool calls = json.contains("tool_calls");
  if (content == json.end() || content->is_null()) {
    if (!calls) return fail("'content': expected a string, got nothing");
    return message;
  }
  if (content->is_string()) {
    message.content = *content;
  } else if (!content->is_array() || content->empty() || !content->front().is_object()) {
    return fail("'content': expected a string or a list of parts");
  }
  return message;
}

}  // namespace

Result<ChatTemplate> ChatTemplate::Open(const FileSet& model) {
  constexpr char kConfig[] = "tokenizer_config.json", kOwnFile[] = "chat_template.jinja";
  UNSWIFT_ASSIGN_OR_RETURN(const Json config, ReadJson(model, kConfig));
  std::string what = model.PathOf(kConfig).string();
  if (!config.is_object()) {
    return MakeError(ErrorCode::kInvalidData, "[open_chat_template] {}: expected an object, got {}",
                     what, config.type_name());
  }
  Texts texts;
  if (model.Contains(kOwnFile)) {
    what = model.PathOf(kOwnFile).string();
    UNSWIFT_ASSIGN_OR_RETURN(const MappedFile file, model.Open(kOwnFile));
    texts.standard.assign(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  } else {
    UNSWIFT_ASSIGN_OR_RETURN(texts, TemplateTexts(config, what));
  }
  UNSWIFT_ASSIGN_OR_RETURN(ChatTemplate chat_template, FromText(texts.standard, what));
  if (texts.with_tools) {
    UNSWIFT_ASSIGN_OR_RETURN(chat_template.with_tools_,
                             jinja::Template::Parse(*texts.with_tools, what + ": tool_use"));
  }
  chat_template.special_tokens_ = SpecialTokens(config);
  return chat_template;
}

Result<ChatTemplate> ChatTemplate::FromText(std::string_view text, std::string_view what) {
  UNSWIFT_ASSIGN_OR_RETURN(jinja::Template parsed, jinja::Template::Parse(text, std::string(what)));
  return ChatTemplate(std::move(parsed));
}

Result<std::string> ChatTemplate::Render(const Chat& chat, bool add_generation_prompt,
                                         const OrderedJson& variables, std::time_t now) const {
  OrderedJson all = special_tokens_;
  all.update(variables);
  OrderedJson messages = OrderedJson::array();
  for (const ChatMessage& message : chat.messages) messages.push_back(MessageJson(message));
  all["messages"] = std::move(messages);
  all["tools"] = chat.tools;
  if (!all.contains("documents")) all["documents"] = nullptr;
  all["add_generation_prompt"] = add_generation_prompt;
  const bool tools = with_tools_ && !chat.tools.is_null();
  return (tools ? *with_tools_ : default_).Render(all, now);
}

Result<std::vector<ChatMessage>> ParseMessages(const OrderedJson& messages, std::string_view what) {
  if (!messages.is_array() || messages.empty()) {
    return MakeError(ErrorCode::kInvalidData,
                     "[parse_messages] {}: expected a non-empty array of messages, got {}", what,
                     messages.is_array() ? "an empty one" : messages.type_name());
  }
  std::vector<ChatMessage> parsed;
  for (size_t i = 0; i < messages.size(); ++i) {
    UNSWIFT_ASSIGN_OR_RETURN(ChatMessage message,
                             ParseMessage(messages[i], fmt::format("{}: message {}", what, i)));
    parsed.push_back(std::move(message));
  }
  return parsed;
}

}  // namespace unswift
