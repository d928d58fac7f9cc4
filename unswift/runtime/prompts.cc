#include "unswift/runtime/prompts.h"

namespace unswift {
namespace {

Result<std::vector<int32_t>> ParseIds(const OrderedJson& json, const std::string& what) {
  std::vector<int32_t> ids;
  if (json.is_array()) {
    for (const OrderedJson& id : json) {
      if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > INT32_MAX) break;
      ids.push_back(id.get<int32_t>());
    }
  }
  if (ids.empty() || ids.size() != json.size()) {
    return MakeError(ErrorCode::kInvalidData, "[read_prompts] {}: 'ids': expected token ids", what);
  }
  return ids;
}

Result<Prompt> ParsePrompt(const OrderedJson& json, const std::string& what) {
  if (json.is_object() && json.contains("ids")) {
    UNSWIFT_ASSIGN_OR_RETURN(auto ids, ParseIds(json.at("ids"), what));
    return Prompt(std::move(ids));
  }
  if (json.is_object() && json.contains("messages")) {
    Chat chat;
    UNSWIFT_ASSIGN_OR_RETURN(chat.messages, ParseMessages(json.at("messages"), what));
    if (json.contains("tools")) chat.tools = json.at("tools");
    if (!chat.tools.is_null() && !chat.tools.is_array()) {
      return MakeError(ErrorCode::kInvalidData, "[read_prompts] {}: 'tools': expected an array",
                       what);
    }
    return Prompt(std::move(chat));
  }
  if (json.is_object() && json.contains("prompt")) {
    if (json.at("prompt").is_string()) return Prompt(json.at("prompt").get<std::string>());
    return MakeError(ErrorCode::kInvalidData, "[read_prompts] {}: 'prompt': expected a string",
                     what);
  }
  return MakeError(ErrorCode::kInvalidData,
                   "[read_prompts] {}: expected an object with 'prompt', 'messages' or 'ids'",
                   what);
}

}  // namespace

Result<std::vector<Prompt>> ReadPrompts(const std::filesystem::path& path) {
  UNSWIFT_ASSIGN_OR_RETURN(const std::vector<OrderedJson> lines, ReadOrderedJsonLines(path));
  std::vector<Prompt> prompts;
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string what = fmt::format("{}: prompt {}", path.string(), i + 1);
    UNSWIFT_ASSIGN_OR_RETURN(Prompt prompt, ParsePrompt(lines[i], what));
    prompts.push_back(std::move(prompt));
  }
  if (prompts.empty()) {
    return MakeError(ErrorCode::kInvalidData, "[read_prompts] {}: no prompts", path.string());
  }
  return prompts;
}

Result<PromptEncoder> PromptEncoder::Open(const FileSet& model) {
  UNSWIFT_ASSIGN_OR_RETURN(Tokenizer tokenizer, Tokenizer::Open(model));
  PromptEncoder encoder(model);
  encoder.tokenizer_ = std::make_shared<const Tokenizer>(std::move(tokenizer));
  return encoder;
}

Result<std::vector<int32_t>> PromptEncoder::Encode(const Prompt& prompt) const {
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&prompt)) return *ids;
  if (const auto* text = std::get_if<std::string>(&prompt)) {
    return tokenizer_->Encode(*text, /*add_special_tokens=*/true);
  }
  UNSWIFT_ASSIGN_OR_RETURN(const ChatTemplate chat, ChatTemplate::Open(model_));
  UNSWIFT_ASSIGN_OR_RETURN(const std::string text,
                           chat.Render(std::get<Chat>(prompt), /*add_generation_prompt=*/true));
  return tokenizer_->Encode(text, /*add_special_tokens=*/false);
}

}  // namespace unswift
