#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "unswift/cli/command_line.h"
#include "unswift/runtime/generation.h"
#include "unswift/runtime/prompts.h"

namespace unswift {
namespace {

struct ChatOptions {
  std::string model, system;
  GenerationOptions generation;
};

/// A conversation whose cache is kept as long as each prompt continues what was already read.
class Conversation {
 public:
  Conversation(Decoder& decoder, const PromptEncoder& encoder, GenerationOptions options)
      : decoder_(decoder),
        encoder_(encoder),
        options_(std::move(options)),
        cache_(decoder.MakeCache()) {}

  void AddSystem(const std::string& text) { chat_.messages.push_back({"system", text}); }

  Result<Generated> Ask(const std::string& question, const TextFn& on_text) {
    chat_.messages.push_back({"user", question});
    Result<Generated> answer = Answer(on_text);
    if (answer) {
      chat_.messages.push_back({"assistant", answer->text});
    } else {
      chat_.messages.pop_back();
    }
    return answer;
  }

 private:
  Result<Generated> Answer(const TextFn& on_text) {
    UNSWIFT_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, encoder_.Encode(chat_));
    const size_t cached = static_cast<size_t>(cache_->length());
    const bool continues = cached < ids.size() && cached <= seen_.size() &&
                           std::equal(seen_.begin(), seen_.begin() + cached, ids.begin());
    if (!continues) cache_->Clear();
    const std::span<const int32_t> rest = std::span(ids).subspan(cache_->length());
    UNSWIFT_ASSIGN_OR_RETURN(Generated generated, Generate(decoder_, encoder_.tokenizer(), *cache_,
                                                           rest, options_, on_text));
    seen_ = ids;
    seen_.insert(seen_.end(), generated.ids.begin(), generated.ids.end());
    return generated;
  }

  Decoder& decoder_;
  const PromptEncoder& encoder_;
  GenerationOptions options_;
  std::unique_ptr<KvCache> cache_;
  Chat chat_;
  std::vector<int32_t> seen_;  // ids of the last prompt and its answer; the cache holds a prefix
};

Result<ExitStatus> RunChat(CommandLine& line, ChatOptions options) {
  UNSWIFT_ASSIGN_OR_RETURN(const OpenedModel opened, OpenForDecoding(line, options.model));
  UNSWIFT_ASSIGN_OR_RETURN(const PromptEncoder encoder, PromptEncoder::Open(opened.files));
  // A model without a chat template should say so before the first question is typed.
  UNSWIFT_RETURN_IF_ERROR(encoder.Encode(UserMessage("")));
  UNSWIFT_ASSIGN_OR_RETURN(const std::unique_ptr<Decoder> decoder, MakeDecoder(line, opened));
  options.generation.stop_ids = opened.model.config().eos_token_ids;
  Conversation conversation(*decoder, encoder, options.generation);
  if (!options.system.empty()) conversation.AddSystem(options.system);
  const bool terminal = isatty(STDIN_FILENO) != 0;
  if (terminal) line.Note("Type a message; an empty line or Ctrl-D ends the conversation.");
  while (true) {
    if (terminal) fmt::print(stderr, "> ");
    std::string question;
    if (!std::getline(std::cin, question) || question.empty()) break;
    const auto show = [](const std::string& text) {
      std::fwrite(text.data(), 1, text.size(), stdout);
      return std::fflush(stdout) == 0;
    };
    UNSWIFT_ASSIGN_OR_RETURN(const Generated answer, conversation.Ask(question, show));
    fmt::print("\n");
    line.Detail(fmt::format("{:.1f} tokens/s", answer.decode.tokens_per_second()));
  }
  return kDone;
}

}  // namespace

void AddChat(CommandLine& line) {
  auto options = std::make_shared<ChatOptions>();
  options->generation.max_new_tokens = 512;
  CLI::App* command = line.AddCommand("chat", "a conversation at the terminal",
                                      [&line, options] { return RunChat(line, *options); });
  AddModel(line, command, options->model);
  line.AddWeights(command);
  line.AddRunFlags(command);
  command->add_option("--system", options->system, "the system message");
  command->add_option("--max-new-tokens", options->generation.max_new_tokens, "of one answer")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30))
      ->capture_default_str();
  command->add_option("--temperature", options->generation.sampling.temperature, "0 = greedy")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  command->add_option("--top-p", options->generation.sampling.top_p)->check(CLI::Range(0.0, 1.0));
  command->add_option("--seed", options->generation.sampling.seed)->capture_default_str();
}

}  // namespace unswift
