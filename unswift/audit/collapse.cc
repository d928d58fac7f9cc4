// A plain model from the release, at the original's speed: every series replaced by one column per
// unit and the activation itself. Writes it (RecoveredModelWriter), runs it beside the release and
// compares tokens and speed.
#include <algorithm>
#include <chrono>

#include "unswift/audit/attack.h"
#include "unswift/eval/speed.h"
#include "unswift/eval/token_match.h"
#include "unswift/runtime/prompts.h"

namespace unswift {
namespace {

constexpr const char* kPrompts[] = {"The capital of France is", "Once upon a time, there was",
                                    "To boil an egg, first", "def fibonacci(n):"};
constexpr int64_t kNewTokens = 32;

/// Prompts as ids, of up to half the context; a tokenizer that cannot encode them gives way to some
/// ids of the vocabulary.
std::vector<std::vector<int32_t>> PromptIds(const std::filesystem::path& directory,
                                            const ModelConfig& config) {
  const auto longest = static_cast<size_t>(std::max<int64_t>(config.context_length / 2, 1));
  std::vector<std::vector<int32_t>> prompts;
  const Result<PromptEncoder> encoder = PromptEncoder::Open(directory);
  for (int32_t p = 0; p < 4; ++p) {
    Result<std::vector<int32_t>> ids = std::vector<int32_t>();
    if (encoder) ids = encoder->Encode(std::string(kPrompts[p]));
    if (!ids || ids->empty()) {
      ids = std::vector<int32_t>();
      for (int32_t i = 0; i < 6; ++i) {
        ids->push_back(static_cast<int32_t>((7 * p + 5 * i * i + 3) % config.vocab_size));
      }
    }
    ids->resize(std::min(ids->size(), longest));
    prompts.push_back(std::move(*ids));
  }
  return prompts;
}

struct Comparison {
  GreedyResult greedy;
  /// Of the collapsed model, the release, the original; ratios are to the first.
  SpeedResult speeds;
};

Result<Comparison> Compare(const AuditTarget& target, const Model& collapsed) {
  ThreadPool& pool = *target.pool;
  Decoder collapsed_decoder(collapsed, pool), release_decoder(*target.release, pool);
  std::optional<Decoder> original_decoder;
  std::vector<Decoder*> decoders = {&collapsed_decoder, &release_decoder};
  if (target.original != nullptr) {
    original_decoder.emplace(*target.original, pool);
    decoders.push_back(&*original_decoder);
  }
  const int64_t context = collapsed.config().context_length;
  const auto prompts = PromptIds(target.recovered, collapsed.config());
  size_t longest = 0;
  for (const auto& prompt : prompts) longest = std::max(longest, prompt.size());
  const int64_t room = context - static_cast<int64_t>(longest);
  Comparison comparison;
  UNSWIFT_ASSIGN_OR_RETURN(comparison.greedy,
                           CompareGreedy(*decoders.back(), collapsed_decoder, prompts,
                                         std::clamp<int64_t>(room, 1, kNewTokens)));
  SpeedOptions speed;
  speed.prompt_tokens = std::clamp<int64_t>(context / 4, 2, 8);
  speed.new_tokens = std::clamp<int64_t>(context / 4, 1, 6);
  speed.repetitions = 7;
  speed.measure_bandwidth = false;
  speed.refuse_disagreement = false;
  UNSWIFT_ASSIGN_OR_RETURN(comparison.speeds, MeasureSpeed(decoders, speed));
  return comparison;
}

Result<AttackResult> Collapse(const AuditTarget& target) {
  const auto start = std::chrono::steady_clock::now();
  UNSWIFT_ASSIGN_OR_RETURN(const OpenedModel collapsed,
                           OpenModel(target.recovered, {}, *target.pool));
  UNSWIFT_ASSIGN_OR_RETURN(const Comparison comparison, Compare(target, collapsed.model));
  const GreedyResult& greedy = comparison.greedy;
  AttackResult result;
  result.recovered_fraction = static_cast<double>(greedy.equal_tokens) /
                              static_cast<double>(std::max<int64_t>(greedy.tokens, 1));
  result.details = {{"compared_with", target.original != nullptr ? "original" : "release"},
                    {"greedy_prompts", greedy.prompts},
                    {"greedy_identical", greedy.identical},
                    {"greedy_tokens", greedy.tokens},
                    {"greedy_equal_tokens", greedy.equal_tokens}};
  result.seconds = target.recovery_seconds +
                   std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const std::vector<double>& slowdown = comparison.speeds.decode_slowdown;
  result.speedup = slowdown[1];
  std::string speed = fmt::format("decodes {:.2f}x as fast as the release", slowdown[1]);
  if (slowdown.size() > 2) {
    result.details["speed_over_original"] = slowdown[2];
    speed += fmt::format(" ({:.2f}x the original's speed)", slowdown[2]);
  }
  if (!comparison.speeds.models[0].agrees) {
    speed += " but, with a recovered unit far off, does not agree with itself";
  }
  result.verdict = fmt::format("a plain model {}, with {} of {} greedy tokens equal", speed,
                               greedy.equal_tokens, greedy.tokens);
  return result;
}

}  // namespace

const Attack kCollapse = {.name = "collapse", .game = "SPEED", .model = Collapse};

}  // namespace unswift
