#include "unswift/eval/token_match.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "unswift/ops/logits.h"
#include "unswift/runtime/generation.h"

namespace unswift {
namespace {

constexpr int64_t kGreedyBatch = 16;

struct PositionMatch {
  double kl = 0.0, original_nll = 0.0, release_nll = 0.0;
  bool same_top1 = false;
};

PositionMatch ComparePosition(std::span<const float> original, std::span<const float> release,
                              int32_t next_id) {
  const double original_norm = LogSumExp(original), release_norm = LogSumExp(release);
  PositionMatch match;
  match.kl = KlDivergence(original, original_norm, release, release_norm);
  match.original_nll = original_norm - original[next_id];
  match.release_nll = release_norm - release[next_id];
  match.same_top1 = ArgMax(original) == ArgMax(release);
  return match;
}

double TopTwoMargin(std::span<const float> logits) {
  float first = -INFINITY, second = -INFINITY;
  for (float value : logits) {
    if (value > first) {
      second = std::exchange(first, value);
    } else if (value > second) {
      second = value;
    }
  }
  return static_cast<double>(first) - second;
}

Result<> CheckSameVocabulary(const Decoder& original, const Decoder& release) {
  const int64_t a = original.model().config().vocab_size;
  const int64_t b = release.model().config().vocab_size;
  if (a == b) return {};
  return MakeError(ErrorCode::kInvalidArgument,
                   "[verify] vocabulary: expected the original's {} tokens, got {}", a, b);
}

}  // namespace

double KlDivergence(std::span<const float> original, double original_norm,
                    std::span<const float> release, double release_norm) {
  double kl = 0.0;
  for (size_t i = 0; i < original.size(); ++i) {
    const double log_p = original[i] - original_norm;
    if (log_p < -80.0) continue;  // below 1e-34: no term of it can be seen in the sum
    kl += std::exp(log_p) * (log_p - (release[i] - release_norm));
  }
  return std::max(kl, 0.0);
}

Result<TeacherForcedResult> CompareTeacherForced(Decoder& original, Decoder& release,
                                                 std::span<const std::span<const int32_t>> windows,
                                                 const ProgressFn& progress) {
  UNSWIFT_RETURN_IF_ERROR(CheckSameVocabulary(original, release));
  TeacherForcedResult result;
  int64_t agreeing = 0;
  double kl_sum = 0.0;
  Decoder* const decoders[] = {&original, &release};
  for (size_t w = 0; w < windows.size(); ++w) {
    Report(progress, "teacher forced", static_cast<double>(w) / windows.size());
    const std::span<const int32_t> ids = windows[w];
    if (ids.size() < 2) continue;
    UNSWIFT_RETURN_IF_ERROR(
        ForEachLogitBlock(decoders, ids, [&](int64_t first, std::span<const ConstRows> logits) {
          std::vector<PositionMatch> matches(logits[0].rows);
          original.pool().ParallelForDynamic(logits[0].rows, [&](int64_t r, int) {
            matches[r] = ComparePosition(logits[0].row(r), logits[1].row(r), ids[first + r + 1]);
          });
          for (const PositionMatch& match : matches) {
            kl_sum += match.kl;
            result.max_kl = std::max(result.max_kl, match.kl);
            agreeing += match.same_top1;
            result.original.sum_nll += match.original_nll;
            result.release.sum_nll += match.release_nll;
          }
          result.tokens += logits[0].rows;
        }));
  }
  Report(progress, "teacher forced", 1.0);
  if (result.tokens == 0) {
    return MakeError(ErrorCode::kInvalidArgument, "[verify] expected at least two tokens of text");
  }
  result.original.tokens = result.release.tokens = result.tokens;
  result.top1_agreement = static_cast<double>(agreeing) / static_cast<double>(result.tokens);
  result.mean_kl = kl_sum / static_cast<double>(result.tokens);
  return result;
}

Result<GreedyResult> CompareGreedy(Decoder& original, Decoder& release,
                                   const std::vector<std::vector<int32_t>>& prompts,
                                   int64_t max_new_tokens, const ProgressFn& progress) {
  UNSWIFT_RETURN_IF_ERROR(CheckSameVocabulary(original, release));
  std::vector<std::vector<double>> margins(prompts.size());
  const double all = 2.0 * static_cast<double>(prompts.size()) * max_new_tokens;
  int64_t done = 0;
  const SamplingOptions greedy;
  UNSWIFT_ASSIGN_OR_RETURN(
      const auto expected,
      GenerateBatch(original, prompts, max_new_tokens, greedy, kGreedyBatch,
                    [&](size_t prompt, int32_t, std::span<const float> logits) {
                      margins[prompt].push_back(TopTwoMargin(logits));
                      Report(progress, "greedy", ++done / all);
                    }));
  UNSWIFT_ASSIGN_OR_RETURN(const auto actual,
                           GenerateBatch(release, prompts, max_new_tokens, greedy, kGreedyBatch,
                                         [&](size_t, int32_t, std::span<const float>) {
                                           Report(progress, "greedy", ++done / all);
                                         }));
  const std::vector<int32_t>& ends = original.model().config().eos_token_ids;
  GreedyResult result;
  result.prompts = static_cast<int64_t>(prompts.size());
  for (size_t p = 0; p < prompts.size(); ++p) {
    const auto end =
        std::find_first_of(expected[p].begin(), expected[p].end(), ends.begin(), ends.end());
    const int64_t length = end - expected[p].begin() + (end == expected[p].end() ? 0 : 1);
    int64_t equal = 0;
    while (equal < length && expected[p][equal] == actual[p][equal]) ++equal;
    result.tokens += length;
    result.equal_tokens += equal;
    result.identical += equal == length;
    if (equal < length) {
      result.first_differences.push_back({static_cast<int64_t>(p), equal, margins[p][equal]});
    }
  }
  return result;
}

bool Holds(const TeacherForcedResult& result, const MatchLimits& limits) {
  const double change = result.release.perplexity() / result.original.perplexity() - 1.0;
  return result.top1_agreement >= limits.min_top1_agreement &&
         result.mean_kl <= limits.max_mean_kl && std::abs(change) <= limits.max_perplexity_change;
}

bool Holds(const GreedyResult& result, const MatchLimits& limits) {
  return std::all_of(
      result.first_differences.begin(), result.first_differences.end(),
      [&](const FirstDifference& difference) { return difference.margin <= limits.max_margin; });
}

}  // namespace unswift
