// Text generation: one sequence streamed to a caller, or many at once.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "unswift/base/result.h"
#include "unswift/model/decoder.h"
#include "unswift/runtime/sampler.h"
#include "unswift/tokenizer/tokenizer.h"

namespace unswift {

struct GenerationOptions {
  int64_t max_new_tokens = 128;
  SamplingOptions sampling;
  std::vector<int32_t> stop_ids;          ///< end of text; the id itself is not part of the result
  std::vector<std::string> stop_strings;  ///< text before the first match is kept
};

struct PhaseSpeed {
  int64_t tokens = 0;
  double seconds = 0.0;
  double tokens_per_second() const { return seconds > 0.0 ? tokens / seconds : 0.0; }
};

struct Generated {
  std::vector<int32_t> ids;
  std::string text;
  std::string finish_reason;  ///< "stop" (an end token or a stop string) or "length"
  PhaseSpeed prefill, decode;
};

/// Receives text as it becomes final; returns false to stop early.
using TextFn = std::function<bool(const std::string&)>;

/// Continues a cache with a prompt. Text that might still become a stop string is held back.
/// Errors: kInvalidArgument (empty prompt, or one longer than the context). Generation that reaches
/// the end of the context ends with "length".
Result<Generated> Generate(Decoder& decoder, const Tokenizer& tokenizer, KvCache& cache,
                           std::span<const int32_t> prompt_ids, const GenerationOptions& options,
                           const TextFn& on_text = {});

/// Runs a prompt through the decoder in chunks of bounded size; returns the hidden state of its
/// last position [1, hidden_size], valid until the decoder's next call.
Result<ConstRows> Prefill(Decoder& decoder, KvCache& cache, std::span<const int32_t> ids);
inline constexpr int64_t kPrefillChunk = 512;

/// Called for every new id of sequence `sequence` with the logits it was picked from.
using StepFn = std::function<void(size_t sequence, int32_t id, std::span<const float> logits)>;

/// Generates max_new_tokens ids for every prompt, never stopping early (verification, calibration).
/// Sequence i draws from stream i of the seed. Up to max_batch sequences run together.
Result<std::vector<std::vector<int32_t>>> GenerateBatch(
    Decoder& decoder, const std::vector<std::vector<int32_t>>& prompts, int64_t max_new_tokens,
    const SamplingOptions& sampling, int64_t max_batch, const StepFn& on_step = {});

}  // namespace unswift
