// Chat messages -> prompt text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "unswift/base/result.h"
#include "unswift/io/json.h"

namespace unswift {

struct ChatMessage {
  std::string role;  ///< "system", "user", "assistant"
  std::string content;
};

/// How a model wants a conversation written. Only ChatML (<|im_start|>role\ncontent<|im_end|>\n)
/// today, recognised in tokenizer_config.json's chat_template, with that template's default system
/// message. Special tokens written in a message's content are not escaped, as in the templates
/// themselves.
class ChatTemplate {
 public:
  /// Errors: kNotFound (no tokenizer_config.json or no chat_template), kUnsupported (not ChatML).
  static Result<ChatTemplate> Open(const FileSet& model);
  /// From the template's own text. Errors: kUnsupported, naming `what`.
  static Result<ChatTemplate> FromText(std::string_view text, std::string_view what);

  /// Renders with the opening of the assistant's turn at the end when add_generation_prompt.
  /// Errors: kInvalidArgument when a role is empty or holds a line end.
  Result<std::string> Render(const std::vector<ChatMessage>& messages,
                             bool add_generation_prompt) const;

 private:
  std::string default_system_;  ///< whole turn, written first unless the first message is "system"
};

/// [{"role": ..., "content": ...}, ...]. Errors: kInvalidArgument / kInvalidData naming `what`.
Result<std::vector<ChatMessage>> ParseMessages(const Json& messages, std::string_view what);

}  // namespace unswift
