// Prompts as files give them, and as token ids.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "unswift/base/result.h"
#include "unswift/tokenizer/chat_template.h"
#include "unswift/tokenizer/tokenizer.h"

namespace unswift {

/// Text, a conversation, or ids.
using Prompt = std::variant<std::string, Chat, std::vector<int32_t>>;

/// One JSON object per line: {"prompt": "..."}, {"messages": [...]} (and "tools": [...]) or
/// {"ids": [...]}.
/// Errors: kNotFound, kInvalidData naming the line.
Result<std::vector<Prompt>> ReadPrompts(const std::filesystem::path& path);

/// Turns prompts into ids with what the files of a model say. The chat template is read at the
/// first conversation, so that a model without one still takes text and ids.
class PromptEncoder {
 public:
  /// Errors: as Tokenizer::Open.
  static Result<PromptEncoder> Open(const FileSet& model);

  const Tokenizer& tokenizer() const { return *tokenizer_; }
  /// Text gets the tokenizer's special tokens (BOS where the model has one); a conversation is
  /// rendered with the assistant's opening and tokenised without adding more.
  Result<std::vector<int32_t>> Encode(const Prompt& prompt) const;

 private:
  explicit PromptEncoder(FileSet model) : model_(std::move(model)) {}

  FileSet model_;
  std::shared_ptr<const Tokenizer> tokenizer_;
};

}  // namespace unswift
