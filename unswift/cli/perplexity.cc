#include "unswift/eval/perplexity.h"

#include <fmt/core.h>

#include <optional>

#include "unswift/base/mapped_file.h"
#include "unswift/cli/command_line.h"
#include "unswift/runtime/prompts.h"

namespace unswift {
namespace {

struct PerplexityOptions {
  std::string model;
  std::optional<std::string> text_file, prompts_file;
  int64_t window = 1024, max_tokens = 0;
};

Result<ExitStatus> RunPerplexity(CommandLine& line, const PerplexityOptions& options) {
  if (!options.text_file && !options.prompts_file) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "[perplexity] expected --text-file or --prompts-file");
  }
  UNSWIFT_ASSIGN_OR_RETURN(const OpenedModel opened, OpenForRun(line, options.model));
  UNSWIFT_ASSIGN_OR_RETURN(const PromptEncoder encoder, PromptEncoder::Open(opened.files));
  const int64_t context = opened.model.config().context_length;
  const int64_t window = std::min(options.window, context);
  if (window < options.window) {
    line.Note(fmt::format("window cut to the model's context of {}", context));
  }
  std::vector<std::vector<int32_t>> texts;
  std::vector<std::span<const int32_t>> windows;
  if (options.text_file) {
    UNSWIFT_ASSIGN_OR_RETURN(const std::string text, ReadFile(*options.text_file));
    UNSWIFT_ASSIGN_OR_RETURN(auto ids,
                             encoder.tokenizer().Encode(text, /*add_special_tokens=*/false));
    texts.push_back(std::move(ids));
    windows = CutIntoWindows(texts.front(), window, options.max_tokens);
  } else {
    UNSWIFT_ASSIGN_OR_RETURN(const std::vector<Prompt> prompts, ReadPrompts(*options.prompts_file));
    for (const Prompt& prompt : prompts) {
      UNSWIFT_ASSIGN_OR_RETURN(auto ids, encoder.Encode(prompt));
      texts.push_back(std::move(ids));
    }
    for (const auto& ids : texts) {
      for (const auto& part : CutIntoWindows(ids, window, options.max_tokens)) {
        windows.push_back(part);
      }
    }
  }
  UNSWIFT_ASSIGN_OR_RETURN(const std::unique_ptr<Decoder> decoder, MakeDecoder(line, opened));
  UNSWIFT_ASSIGN_OR_RETURN(const PerplexityResult result,
                           Perplexity(*decoder, windows, line.progress()));
  if (line.common().json) {
    PrintJson({{"tokens", result.tokens},
               {"mean_nll", result.mean_nll()},
               {"perplexity", result.perplexity()},
               {"windows", windows.size()}});
  } else {
    fmt::print("perplexity {:.5f} (mean NLL {:.7f} over {} tokens)\n", result.perplexity(),
               result.mean_nll(), result.tokens);
  }
  return kDone;
}

}  // namespace

void AddPerplexity(CommandLine& line) {
  auto options = std::make_shared<PerplexityOptions>();
  CLI::App* command = line.AddCommand("perplexity", "mean negative log-likelihood of a text",
                                      [&line, options] { return RunPerplexity(line, *options); });
  AddModel(line, command, options->model);
  line.AddWeights(command);
  line.AddRunFlags(command);
  CLI::Option* text = command->add_option("--text-file", options->text_file,
                                          "tokenised as one string without special tokens");
  CLI::Option* ids =
      command->add_option("--prompts-file", options->prompts_file, "JSON lines, e.g. {\"ids\"}");
  text->excludes(ids);
  command->add_option("--window", options->window, "ids of a window, run alone from position 0")
      ->check(CLI::Range(2, 1 << 30))
      ->capture_default_str();
  command->add_option("--max-tokens", options->max_tokens, "use the first N ids (0 = all)")
      ->check(CLI::NonNegativeNumber);
}

}  // namespace unswift
