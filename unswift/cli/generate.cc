#include <fmt/core.h>

#include <cstdio>
#include <optional>

#include "unswift/base/mapped_file.h"
#include "unswift/cli/command_line.h"
#include "unswift/runtime/generation.h"
#include "unswift/runtime/prompts.h"

namespace unswift {
namespace {

struct GenerateOptions {
  std::string model;
  std::optional<std::string> prompt, prompt_file, prompts_file;
  bool chat = false, ignore_eos = false;
  GenerationOptions generation;
};

Json PhaseJson(const PhaseSpeed& speed) {
  return {{"tokens", speed.tokens},
          {"seconds", speed.seconds},
          {"tokens_per_second", speed.tokens_per_second()}};
}

Json ResultJson(const std::vector<int32_t>& prompt_ids, const Generated& generated) {
  return {{"prompt_ids", prompt_ids},
          {"ids", generated.ids},
          {"text", generated.text},
          {"finish_reason", generated.finish_reason},
          {"prefill", PhaseJson(generated.prefill)},
          {"decode", PhaseJson(generated.decode)}};
}

Result<std::vector<Prompt>> PromptsOf(const GenerateOptions& options) {
  if (options.prompts_file) return ReadPrompts(*options.prompts_file);
  std::string text = options.prompt.value_or("");
  if (options.prompt_file) {
    UNSWIFT_ASSIGN_OR_RETURN(text, ReadFile(*options.prompt_file));
  }
  if (options.chat) return std::vector<Prompt>{UserMessage(text)};
  return std::vector<Prompt>{text};
}

/// With --chat the plain prompts of a file are user messages, too.
Prompt AsChat(const Prompt& prompt, bool chat) {
  const auto* text = std::get_if<std::string>(&prompt);
  if (!chat || text == nullptr) return prompt;
  return UserMessage(*text);
}

Result<ExitStatus> RunGenerate(CommandLine& line, GenerateOptions options) {
  UNSWIFT_ASSIGN_OR_RETURN(const std::vector<Prompt> prompts, PromptsOf(options));
  UNSWIFT_ASSIGN_OR_RETURN(const OpenedModel opened, OpenForDecoding(line, options.model));
  UNSWIFT_ASSIGN_OR_RETURN(const PromptEncoder encoder, PromptEncoder::Open(opened.files));
  UNSWIFT_ASSIGN_OR_RETURN(const std::unique_ptr<Decoder> decoder, MakeDecoder(line, opened));
  if (!options.ignore_eos) options.generation.stop_ids = opened.model.config().eos_token_ids;
  const bool lines = options.prompts_file.has_value();
  const bool stream = !lines && !line.common().json;
  for (const Prompt& prompt : prompts) {
    UNSWIFT_ASSIGN_OR_RETURN(const std::vector<int32_t> ids,
                             encoder.Encode(AsChat(prompt, options.chat)));
    const std::unique_ptr<KvCache> cache = decoder->MakeCache();
    TextFn on_text;
    if (stream) {
      on_text = [](const std::string& text) {
        std::fwrite(text.data(), 1, text.size(), stdout);
        return std::fflush(stdout) == 0;
      };
    }
    UNSWIFT_ASSIGN_OR_RETURN(
        const Generated generated,
        Generate(*decoder, encoder.tokenizer(), *cache, ids, options.generation, on_text));
    if (stream) {
      fmt::print("\n");
      line.Detail(
          fmt::format("prefill {} tokens, {:.1f} tokens/s; decode {} tokens, {:.1f} tokens/s",
                      generated.prefill.tokens, generated.prefill.tokens_per_second(),
                      generated.decode.tokens, generated.decode.tokens_per_second()));
    } else {
      PrintJson(ResultJson(ids, generated), lines ? -1 : 2);
      std::fflush(stdout);
    }
  }
  return kDone;
}

}  // namespace

void AddGenerate(CommandLine& line) {
  auto options = std::make_shared<GenerateOptions>();
  GenerationOptions& generation = options->generation;
  CLI::App* command = line.AddCommand("generate", "continue a prompt, streamed to stdout",
                                      [&line, options] { return RunGenerate(line, *options); });
  AddModel(line, command, options->model);
  line.AddWeights(command);
  line.AddRunFlags(command);
  CLI::Option* prompt = command->add_option("--prompt", options->prompt, "text to continue");
  CLI::Option* file =
      command->add_option("--prompt-file", options->prompt_file, "the same, a file");
  CLI::Option* many = command->add_option(
      "--prompts-file", options->prompts_file,
      "one JSON per line: {\"prompt\"}, {\"messages\"} or {\"ids\"}; the result is JSON lines");
  prompt->excludes(file)->excludes(many);
  file->excludes(many);
  command->add_flag("--chat", options->chat, "the prompt is a user's message of a chat");
  command->add_option("--max-new-tokens", generation.max_new_tokens)
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30))
      ->capture_default_str();
  command->add_option("--temperature", generation.sampling.temperature, "0 = greedy")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  command->add_option("--top-k", generation.sampling.top_k, "keep the k most likely (0 = all)")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--top-p", generation.sampling.top_p, "keep the likeliest share p")
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--seed", generation.sampling.seed)->capture_default_str();
  command->add_option("--stop", generation.stop_strings, "stop before this text (repeatable)")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_flag("--ignore-eos", options->ignore_eos, "go on after the end token");
}

}  // namespace unswift
