// Mean negative log-likelihood of token windows.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "unswift/base/progress.h"
#include "unswift/base/result.h"
#include "unswift/model/decoder.h"

namespace unswift {

/// Consecutive windows of `window` ids, the last one shorter; at most max_tokens ids in all (0 =
/// all).
std::vector<std::span<const int32_t>> CutIntoWindows(std::span<const int32_t> ids, int64_t window,
                                                     int64_t max_tokens = 0);

struct PerplexityResult {
  int64_t tokens = 0;    ///< ids scored: every id of a window but its first
  double sum_nll = 0.0;  ///< nats
  double mean_nll() const { return tokens > 0 ? sum_nll / static_cast<double>(tokens) : 0.0; }
  double perplexity() const;
};

/// Runs each window alone from position 0; its first id is context only.
/// Accumulates in: double, of float32 logits. Errors: kInvalidArgument (a window longer than the
/// context, an id outside the vocabulary, nothing to score).
Result<PerplexityResult> Perplexity(Decoder& decoder,
                                    std::span<const std::span<const int32_t>> windows,
                                    const ProgressFn& progress = {});

/// Runs one window through each decoder in step and calls visit(position, logits) for bounded
/// blocks of predicting positions (all but the last); logits[d] are decoder d's rows of the same
/// positions. The shared loop of perplexity and verification.
using LogitBlockFn = std::function<void(int64_t first_position, std::span<const ConstRows> logits)>;
Result<> ForEachLogitBlock(std::span<Decoder* const> decoders, std::span<const int32_t> window,
                           const LogitBlockFn& visit);

}  // namespace unswift
