#include "unswift/tokenizer/chat_template.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace unswift {
namespace {

constexpr std::string_view kTurnStart = "<|im_start|>";
constexpr std::string_view kTurnEnd = "<|im_end|>";
// Text that other dialects of ChatML add; rendering them as plain ChatML would be wrong unnoticed.
constexpr std::array<std::string_view, 4> kDialects = {"<|im_sep|>", "bos_token", "eos_token",
                                                       "<think>"};

std::string Turn(std::string_view role, std::string_view content) {
  return fmt::format("{}{}\n{}{}\n", kTurnStart, role, content, kTurnEnd);
}

/// Reads the string literals of a Jinja template, unescaped, from left to right.
class LiteralReader {
 public:
  explicit LiteralReader(std::string_view text) : rest_(text) {}

  std::optional<std::string> Next() {
    const size_t quote = rest_.find_first_of("'\"");
    if (quote == rest_.npos) return std::nullopt;
    const char closing = rest_[quote];
    std::string literal;
    for (size_t i = quote + 1; i < rest_.size(); ++i) {
      if (rest_[i] == closing) {
        rest_.remove_prefix(i + 1);
        return literal;
      }
      if (rest_[i] == '\\' && i + 1 < rest_.size()) {
        literal += Unescape(rest_[++i]);
      } else {
        literal += rest_[i];
      }
    }
    return std::nullopt;
  }

 private:
  static char Unescape(char c) { return c == 'n' ? '\n' : c == 't' ? '\t' : c; }
  std::string_view rest_;
};

/// The literal with which a template opens a conversation that has no system message:
/// '<|im_start|>system\n...<|im_end|>\n'. Empty when there is none.
std::string FindDefaultSystem(std::string_view text) {
  const std::string opening = fmt::format("{}system\n", kTurnStart);
  const std::string closing = fmt::format("{}\n", kTurnEnd);
  LiteralReader reader(text);
  while (std::optional<std::string> literal = reader.Next()) {
    if (literal->starts_with(opening) && literal->ends_with(closing)) return *std::move(literal);
  }
  return {};
}

/// The template of the config: a string, or the entry named "default" of a list.
Result<std::string> TemplateText(const Json& config, std::string_view what) {
  if (config.is_object() && config.contains("chat_template")) {
    const Json& field = config["chat_template"];
    if (field.is_array()) {
      for (const Json& entry : field) {
        UNSWIFT_ASSIGN_OR_RETURN(const std::string name,
                                 GetField<std::string>(entry, "name", what));
        if (name == "default") return GetField<std::string>(entry, "template", what);
      }
    }
  }
  return GetField<std::string>(config, "chat_template", what);
}

}  // namespace

Result<ChatTemplate> ChatTemplate::Open(const FileSet& model) {
  constexpr char kName[] = "tokenizer_config.json";
  const std::string what = model.PathOf(kName).string();
  UNSWIFT_ASSIGN_OR_RETURN(const Json config, ReadJson(model, kName));
  UNSWIFT_ASSIGN_OR_RETURN(const std::string text, TemplateText(config, what));
  return FromText(text, what);
}

Result<ChatTemplate> ChatTemplate::FromText(std::string_view text, std::string_view what) {
  for (const std::string_view marker : {kTurnStart, kTurnEnd}) {
    if (text.find(marker) != text.npos) continue;
    return MakeError(
        ErrorCode::kUnsupported,
        "[open_chat_template] {}: expected a ChatML chat_template (with {} and {}), got "
        "one without {}; write the prompt in the model's own form instead",
        what, kTurnStart, kTurnEnd, marker);
  }
  for (const std::string_view marker : kDialects) {
    if (text.find(marker) == text.npos) continue;
    return MakeError(ErrorCode::kUnsupported,
                     "[open_chat_template] {}: expected a plain ChatML chat_template, got one with "
                     "'{}'; write the prompt in the model's own form instead",
                     what, marker);
  }
  ChatTemplate chat_template;
  chat_template.default_system_ = FindDefaultSystem(text);
  return chat_template;
}

Result<std::string> ChatTemplate::Render(const std::vector<ChatMessage>& messages,
                                         bool add_generation_prompt) const {
  std::string text;
  if (!messages.empty() && messages[0].role != "system") text += default_system_;
  for (const ChatMessage& message : messages) {
    if (message.role.empty() || message.role.find('\n') != std::string::npos) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "[render_chat] role: expected one non-empty line, got {} bytes",
                       message.role.size());
    }
    text += Turn(message.role, message.content);
  }
  if (add_generation_prompt) text += fmt::format("{}assistant\n", kTurnStart);
  return text;
}

Result<std::vector<ChatMessage>> ParseMessages(const Json& messages, std::string_view what) {
  if (!messages.is_array() || messages.empty()) {
    return MakeError(ErrorCode::kInvalidData,
                     "[parse_messages] {}: expected a non-empty array of messages, got {}", what,
                     messages.is_array() ? "an empty one" : messages.type_name());
  }
  std::vector<ChatMessage> parsed;
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string where = fmt::format("{}: message {}", what, i);
    ChatMessage message;
    for (const auto& [key, target] :
         {std::pair{"role", &message.role}, std::pair{"content", &message.content}}) {
      auto field = GetField<std::string>(messages[i], key, where);
      if (!field) return MakeError(ErrorCode::kInvalidData, "{}", field.error().message);
      *target = *std::move(field);
    }
    parsed.push_back(std::move(message));
  }
  return parsed;
}

}  // namespace unswift
