// Does a release say what its original says? Teacher-forced and greedy comparison of two models.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "unswift/base/progress.h"
#include "unswift/base/result.h"
#include "unswift/eval/perplexity.h"
#include "unswift/model/decoder.h"

namespace unswift {

/// KL(original || release) of one prediction, nats, in double. Norms: LogSumExp of the logits.
double KlDivergence(std::span<const float> original, double original_norm,
                    std::span<const float> release, double release_norm);

struct TeacherForcedResult {
  int64_t tokens = 0;           ///< predictions compared
  double top1_agreement = 0.0;  ///< share of positions with the same most likely token
  double mean_kl = 0.0;         ///< KL(original || release), nats per token
  double max_kl = 0.0;
  PerplexityResult original, release;
};

/// Feeds both models the same windows. KL in double of float32 logits.
/// Errors: as Perplexity; kInvalidArgument when the vocabularies differ.
Result<TeacherForcedResult> CompareTeacherForced(Decoder& original, Decoder& release,
                                                 std::span<const std::span<const int32_t>> windows,
                                                 const ProgressFn& progress = {});

struct FirstDifference {
  int64_t prompt = 0;
  int64_t position = 0;  ///< index of the new token
  double margin = 0.0;   ///< the original's top-1 minus top-2 logit there: small = a near tie
};

struct GreedyResult {
  int64_t prompts = 0;
  int64_t identical = 0;     ///< prompts whose every token is equal
  int64_t tokens = 0;        ///< compared: up to the original's end token
  int64_t equal_tokens = 0;  ///< before each prompt's first difference
  std::vector<FirstDifference> first_differences;
};

/// Lets both models continue every prompt greedily. A run ends at the original's first end token.
Result<GreedyResult> CompareGreedy(Decoder& original, Decoder& release,
                                   const std::vector<std::vector<int32_t>>& prompts,
                                   int64_t max_new_tokens, const ProgressFn& progress = {});

/// What "holds" means: the figures that a release must keep.
struct MatchLimits {
  double min_top1_agreement = 0.99;
  double max_mean_kl = 1e-3;  ///< what bf16 activations cost in common inference stacks
  double max_perplexity_change = 0.005;
  double max_margin = 0.05;  ///< of a first greedy difference
};

bool Holds(const TeacherForcedResult& result, const MatchLimits& limits);
bool Holds(const GreedyResult& result, const MatchLimits& limits);

}  // namespace unswift
