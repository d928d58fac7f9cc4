// Prefill and decode speed of several models in one run, interleaved so that a machine whose speed
// drifts is fair to all of them.
#pragma once

#include <span>
#include <vector>

#include "unswift/base/progress.h"
#include "unswift/base/result.h"
#include "unswift/model/decoder.h"

namespace unswift {

struct SpeedOptions {
  int64_t prompt_tokens = 512;
  int64_t new_tokens = 128;
  int repetitions = 5;
  bool measure_bandwidth = true;
  bool refuse_disagreement = true;  ///< else it is only reported, as ModelSpeed::agrees
};

struct Spread {
  double median = 0.0, min = 0.0, max = 0.0;
};
Spread SpreadOf(std::vector<double> values);

struct ModelSpeed {
  Spread prefill_tokens_per_second, decode_tokens_per_second;
  Spread prefill_attention_share;  ///< of prefill's time, in the attention kernel
  int64_t weight_bytes_per_token = 0;
  double gigabytes_per_second = 0.0;  ///< weight bytes per token x decode median
  bool agrees = true;                 ///< decode's logits are prefill's
};

struct SpeedResult {
  std::vector<ModelSpeed> models;
  /// Time of model i over that of model 0: median of the ratios of neighbours, which are tokens for
  /// decode (models take turns token by token: a machine's bandwidth may halve within seconds) and
  /// repetitions for prefill.
  std::vector<double> decode_slowdown, prefill_slowdown;
  double read_bandwidth = 0.0;  ///< bytes per second, best of all repetitions
};

/// Decodes after a prompt of prompt_tokens pseudo-random ids. Every model is checked first: its
/// decode of the last of the first 64 tokens must agree with prefill's, with finite logits. (A
/// release whose series cancels to noise does not.) Errors: kInvalidArgument (context too short),
/// kInvalidData (refused).
Result<SpeedResult> MeasureSpeed(std::span<Decoder* const> decoders, const SpeedOptions& options,
                                 const ProgressFn& progress = {});

}  // namespace unswift
