#include <fmt/core.h>

#include <algorithm>
#include <optional>

#include "unswift/base/mapped_file.h"
#include "unswift/cli/command_line.h"
#include "unswift/cli/verify_files.h"
#include "unswift/eval/speed.h"
#include "unswift/eval/token_match.h"
#include "unswift/runtime/calibration.h"
#include "unswift/runtime/prompts.h"

namespace unswift {
namespace {

// Text of the original's own, written from another seed than calibration's default of 0.
constexpr uint64_t kFreshTextSeed = 20240914;
constexpr int64_t kFreshTextTokens = 4096;

constexpr const char* kDefaultQuestions[] = {"What is the capital of France?",
                                             "Explain in two sentences why the sky is blue.",
                                             "Write a short poem about the sea.",
                                             "List three uses of a paper clip.",
                                             "How do I boil an egg?",
                                             "Translate 'good morning' to Spanish.",
                                             "What is 17 times 6?",
                                             "Give me a tip for better sleep."};

struct VerifyOptions {
  std::string release;
  std::optional<std::string> against, text_file, prompts_file;
  int64_t max_new_tokens = 128, window = 1024, max_tokens = 0;
  int repetitions = 3;
  MatchLimits limits;
};

/// The windows and prompts that the comparison uses; given, or made by the original.
struct Material {
  std::vector<std::vector<int32_t>> texts, prompts;
  std::vector<std::span<const int32_t>> windows;
};

Result<Material> MakeMaterial(CommandLine& line, const VerifyOptions& options, Decoder& original,
                              const PromptEncoder& encoder) {
  Material material;
  const int64_t context = original.model().config().context_length;
  if (options.prompts_file) {
    UNSWIFT_ASSIGN_OR_RETURN(const auto prompts, ReadPrompts(*options.prompts_file));
    for (const Prompt& prompt : prompts) {
      UNSWIFT_ASSIGN_OR_RETURN(auto ids, encoder.Encode(prompt));
      material.prompts.push_back(std::move(ids));
    }
  } else {
    for (const char* question : kDefaultQuestions) {
      Result<std::vector<int32_t>> ids = encoder.Encode(UserMessage(question));
      if (!ids) ids = encoder.Encode(std::string(question));  // a model without a chat template
      if (!ids || ids->empty()) continue;
      // Half a small model's context is left for the answer.
      ids->resize(std::min<size_t>(ids->size(), (context + 1) / 2));
      material.prompts.push_back(std::move(*ids));
    }
  }
  if (options.text_file) {
    UNSWIFT_ASSIGN_OR_RETURN(const std::string text, ReadFile(*options.text_file));
    UNSWIFT_ASSIGN_OR_RETURN(auto ids,
                             encoder.tokenizer().Encode(text, /*add_special_tokens=*/false));
    material.texts.push_back(std::move(ids));
  } else {
    CalibrationOptions fresh;
    fresh.seed = kFreshTextSeed;
    fresh.max_tokens = options.max_tokens > 0 ? options.max_tokens : kFreshTextTokens;
    fresh.window = std::min<int64_t>(512, std::min(context, fresh.max_tokens));
    UNSWIFT_ASSIGN_OR_RETURN(material.texts,
                             WriteOwnText(original, encoder.tokenizer(), fresh, line.progress()));
  }
  for (const auto& ids : material.texts) {
    const int64_t limit = options.text_file ? options.max_tokens : 0;
    for (const auto& window : CutIntoWindows(ids, std::min(options.window, context), limit)) {
      material.windows.push_back(window);
    }
  }
  return material;
}

/// The longest run that the context leaves after the longest prompt.
Result<int64_t> NewTokensThatFit(const VerifyOptions& options, const Material& material,
                                 int64_t context) {
  size_t longest = 0;
  for (const auto& prompt : material.prompts) longest = std::max(longest, prompt.size());
  const int64_t room = context - static_cast<int64_t>(longest) + 1;
  if (room < 1) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "[verify] prompts: expected at most {} tokens, got {}", context, longest);
  }
  return std::min(options.max_new_tokens, room);
}

struct Verdict {
  TeacherForcedResult teacher_forced;
  GreedyResult greedy;
  double predicted_slowdown = 0.0, measured_slowdown = 0.0;
  bool agrees_with_itself = true;  // decoding one by one, and many tokens at once
  bool holds = false;
};

Json VerdictJson(const Verdict& verdict) {
  Json differences = Json::array();
  for (const FirstDifference& difference : verdict.greedy.first_differences) {
    differences.push_back({{"prompt", difference.prompt},
                           {"position", difference.position},
                           {"margin", difference.margin}});
  }
  return {{"teacher_forced",
           {{"tokens", verdict.teacher_forced.tokens},
            {"top1_agreement", verdict.teacher_forced.top1_agreement},
            {"mean_kl", verdict.teacher_forced.mean_kl},
            {"max_kl", verdict.teacher_forced.max_kl}}},
          {"greedy",
           {{"prompts", verdict.greedy.prompts},
            {"identical", verdict.greedy.identical},
            {"tokens", verdict.greedy.tokens},
            {"equal_tokens", verdict.greedy.equal_tokens},
            {"first_differences", std::move(differences)}}},
          {"perplexity",
           {{"original", verdict.teacher_forced.original.perplexity()},
            {"release", verdict.teacher_forced.release.perplexity()}}},
          {"slowdown",
           {{"predicted", verdict.predicted_slowdown}, {"measured", verdict.measured_slowdown}}},
          {"agrees_with_itself", verdict.agrees_with_itself},
          {"holds", verdict.holds}};
}

void PrintVerdict(const Verdict& verdict) {
  const TeacherForcedResult& teacher = verdict.teacher_forced;
  const double original = teacher.original.perplexity(), release = teacher.release.perplexity();
  fmt::print("teacher forced  {} tokens, top-1 equal {:.3f} %, KL mean {:.2e} max {:.2e}\n",
             teacher.tokens, 100.0 * teacher.top1_agreement, teacher.mean_kl, teacher.max_kl);
  fmt::print("perplexity      {:.4f} original, {:.4f} release ({:+.4f} %)\n", original, release,
             100.0 * (release / original - 1.0));
  fmt::print("greedy          {} of {} prompts identical to the end, {} of {} tokens\n",
             verdict.greedy.identical, verdict.greedy.prompts, verdict.greedy.equal_tokens,
             verdict.greedy.tokens);
  for (const FirstDifference& difference : verdict.greedy.first_differences) {
    fmt::print("                prompt {} differs first at token {}, original's margin {:.5f}\n",
               difference.prompt, difference.position, difference.margin);
  }
  fmt::print("slowdown        {:.2f}x predicted from bytes, {:.2f}x measured\n",
             verdict.predicted_slowdown, verdict.measured_slowdown);
  if (!verdict.agrees_with_itself) {
    fmt::print(
        "                the release gives other logits for single tokens than for many: its "
        "series cancels to noise\n");
  }
  fmt::print("{}\n",
             verdict.holds ? "holds: the release answers as the original does" : "DOES NOT HOLD");
}

Result<Verdict> Compare(CommandLine& line, const VerifyOptions& options) {
  UNSWIFT_ASSIGN_OR_RETURN(OpenedModel original, OpenModel(*options.against, {}, line.pool()));
  UNSWIFT_ASSIGN_OR_RETURN(OpenedModel release, OpenForRun(line, options.release));
  CopyWeights(line, {&original.model, &release.model});
  UNSWIFT_ASSIGN_OR_RETURN(const PromptEncoder encoder, PromptEncoder::Open(original.files));
  Decoder original_decoder(original.model, line.pool());
  Decoder release_decoder(release.model, line.pool());
  UNSWIFT_ASSIGN_OR_RETURN(const Material material,
                           MakeMaterial(line, options, original_decoder, encoder));
  const int64_t context = original.model.config().context_length;
  Verdict verdict;
  UNSWIFT_ASSIGN_OR_RETURN(
      verdict.teacher_forced,
      CompareTeacherForced(original_decoder, release_decoder, material.windows, line.progress()));
  UNSWIFT_ASSIGN_OR_RETURN(const int64_t new_tokens, NewTokensThatFit(options, material, context));
  UNSWIFT_ASSIGN_OR_RETURN(
      verdict.greedy, CompareGreedy(original_decoder, release_decoder, material.prompts, new_tokens,
                                    line.progress()));
  SpeedOptions speed;
  speed.prompt_tokens = std::clamp<int64_t>(context / 4, 2, 16);
  speed.new_tokens = std::clamp<int64_t>(context / 4, 1, 32);
  speed.repetitions = options.repetitions;
  speed.measure_bandwidth = false;
  speed.refuse_disagreement = false;
  Decoder* const decoders[] = {&original_decoder, &release_decoder};
  UNSWIFT_ASSIGN_OR_RETURN(const SpeedResult speeds,
                           MeasureSpeed(decoders, speed, line.progress()));
  verdict.predicted_slowdown = static_cast<double>(release.model.weight_bytes_per_token()) /
                               static_cast<double>(original.model.weight_bytes_per_token());
  verdict.measured_slowdown = speeds.decode_slowdown[1];
  verdict.agrees_with_itself = speeds.models[1].agrees;
  verdict.holds = verdict.agrees_with_itself && Holds(verdict.teacher_forced, options.limits) &&
                  Holds(verdict.greedy, options.limits);
  return verdict;
}

Result<ExitStatus> RunVerify(CommandLine& line, const VerifyOptions& options) {
  if (!options.against) return VerifyFiles(line, options.release);
  UNSWIFT_ASSIGN_OR_RETURN(const Verdict verdict, Compare(line, options));
  if (line.common().json) {
    PrintJson(VerdictJson(verdict));
  } else {
    PrintVerdict(verdict);
  }
  return verdict.holds ? kDone : kDoesNotHold;
}

}  // namespace

void AddVerify(CommandLine& line) {
  auto options = std::make_shared<VerifyOptions>();
  CLI::App* command = line.AddCommand(
      "verify", "is a release the original (--against), and are its files what the manifest says?",
      [&line, options] { return RunVerify(line, *options); });
  AddModel(line, command, options->release, "release");
  line.AddWeights(command);
  command->add_option("--against", options->against, "the original");
  command->add_option("--key", line.open_options().require_signature,
                      "the same as --require-signature");
  command->add_option("--text-file", options->text_file,
                      "text to compare on (default: fresh text that the original writes)");
  command->add_option("--prompts-file", options->prompts_file,
                      "prompts to continue greedily, JSON lines (default: eight questions)");
  command->add_option("--max-new-tokens", options->max_new_tokens)
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command->add_option("--window", options->window, "tokens of a window of text")
      ->check(CLI::Range(2, 1 << 20))
      ->capture_default_str();
  command->add_option("--max-tokens", options->max_tokens, "of the text (0 = all)")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--repetitions", options->repetitions, "of the speed measurement")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  MatchLimits& limits = options->limits;
  command
      ->add_option("--min-agreement", limits.min_top1_agreement, "it holds from this top-1 share")
      ->capture_default_str();
  command->add_option("--max-kl", limits.max_mean_kl, "... up to this mean KL")
      ->capture_default_str();
  command->add_option("--max-perplexity-change", limits.max_perplexity_change, "... relative")
      ->capture_default_str();
  command
      ->add_option("--max-margin", limits.max_margin,
                   "... and when greedy runs part only where the original's margin is below")
      ->capture_default_str();
}

}  // namespace unswift
