// Chat messages -> prompt text, with the model's own chat_template.
#pragma once

#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unswift/base/result.h"
#include "unswift/io/json.h"
#include "unswift/jinja/template.h"

namespace unswift {

struct ChatMessage {
  std::string role;  ///< "system", "user", "assistant", "tool", ...
  std::string content;
  /// The whole message as it was given, with what else it holds (tool_calls, name, ...). A content
  /// that is no string (a list of parts, null, nothing) is here alone; role and content above win
  /// otherwise. Empty: there is no more than these two.
  OrderedJson fields = OrderedJson::object();
};

/// A conversation and the tools that the model may call (JSON schemas; null: none).
struct Chat {
  std::vector<ChatMessage> messages;
  OrderedJson tools = nullptr;
};

/// The conversation of one message by the user.
inline Chat UserMessage(std::string text) { return {.messages = {{"user", std::move(text)}}}; }

/// How a model wants a conversation written: the Jinja template of chat_template.jinja or
/// tokenizer_config.json, rendered as transformers' apply_chat_template renders it. Special tokens
/// written in a message's content are not escaped, as in the templates themselves.
class ChatTemplate {
 public:
  /// Errors: kNotFound (no tokenizer_config.json, or no chat_template in either file), else as
  /// jinja::Template::Parse.
  static Result<ChatTemplate> Open(const FileSet& model);
  /// From the template's own text, without special tokens. Errors: as jinja::Template::Parse,
  /// naming `what`.
  static Result<ChatTemplate> FromText(std::string_view text, std::string_view what);

  /// Renders with the opening of the assistant's turn at the end when add_generation_prompt.
  /// `variables` (an object) are further variables of the template ("enable_thinking", ...).
  /// Errors: as jinja::Template::Render.
  Result<std::string> Render(const Chat& chat, bool add_generation_prompt,
                             const OrderedJson& variables = OrderedJson::object(),
                             std::time_t now = std::time(nullptr)) const;
  Result<std::string> Render(const std::vector<ChatMessage>& messages,
                             bool add_generation_prompt) const {
    return Render(Chat{messages}, add_generation_prompt);
  }

 private:
  explicit ChatTemplate(jinja::Template text) : default_(std::move(text)) {}

  jinja::Template default_;
  std::optional<jinja::Template> with_tools_;           ///< "tool_use" of a list of named templates
  OrderedJson special_tokens_ = OrderedJson::object();  ///< bos_token, eos_token, ...
};

/// [{"role": ..., "content": ...}, ...]; content is a string, null (with tool_calls), or a list of
/// parts. Errors: kInvalidData naming `what`.
Result<std::vector<ChatMessage>> ParseMessages(const OrderedJson& messages, std::string_view what);

}  // namespace unswift
