#include "unswift/runtime/generation.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace unswift {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Cuts a text stream at the first stop string. Holds back a tail that could be the start of one.
class StopScanner {
 public:
  explicit StopScanner(const std::vector<std::string>& stops) : stops_(stops) {}

  bool stopped() const { return stopped_; }

  /// Returns the text that is certain now.
  std::string Add(const std::string& piece) {
    held_ += piece;
    size_t cut = std::string::npos;
    for (const std::string& stop : stops_) {
      if (!stop.empty()) cut = std::min(cut, held_.find(stop));
    }
    if (cut != std::string::npos) {
      stopped_ = true;
      held_.resize(cut);
      return Flush();
    }
    const size_t keep = LongestPendingTail();
    std::string certain = held_.substr(0, held_.size() - keep);
    held_.erase(0, certain.size());
    return certain;
  }

  std::string Flush() { return std::exchange(held_, {}); }

 private:
  size_t LongestPendingTail() const {
    size_t longest = 0;
    for (const std::string& stop : stops_) {
      for (size_t n = std::min(held_.size(), stop.size()); n > longest; --n) {
        if (held_.ends_with(std::string_view(stop).substr(0, n))) longest = n;
      }
    }
    return longest;
  }

  const std::vector<std::string>& stops_;
  std::string held_;
  bool stopped_ = false;
};

bool Contains(const std::vector<int32_t>& ids, int32_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

Result<ConstRows> Prefill(Decoder& decoder, KvCache& cache, std::span<const int32_t> ids) {
  if (ids.empty()) return MakeError(ErrorCode::kInvalidArgument, "[generate] empty prompt");
  const int64_t limit = decoder.model().config().context_length;
  if (cache.length() + static_cast<int64_t>(ids.size()) > limit) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "[generate] prompt: expected at most {} tokens of context, got {}", limit,
                     cache.length() + ids.size());
  }
  const int64_t planned_length = cache.length() + static_cast<int64_t>(ids.size());
  ConstRows hidden;
  for (size_t begin = 0; begin < ids.size(); begin += kPrefillChunk) {
    const size_t count = std::min<size_t>(kPrefillChunk, ids.size() - begin);
    const SequenceInput input{&cache, ids.subspan(begin, count), planned_length};
    UNSWIFT_ASSIGN_OR_RETURN(hidden, decoder.Forward({&input, 1}));
  }
  return hidden.Slice(hidden.rows - 1, 1);
}

Result<Generated> Generate(Decoder& decoder, const Tokenizer& tokenizer, KvCache& cache,
                           std::span<const int32_t> prompt_ids, const GenerationOptions& options,
                           const TextFn& on_text) {
  Generated result;
  result.finish_reason = "length";
  const int64_t context = decoder.model().config().context_length;
  const Clock::time_point prefill_start = Clock::now();
  UNSWIFT_ASSIGN_OR_RETURN(ConstRows hidden, Prefill(decoder, cache, prompt_ids));
  result.prefill = {static_cast<int64_t>(prompt_ids.size()), SecondsSince(prefill_start)};

  std::vector<float> logits(decoder.model().config().vocab_size);
  Sampler sampler(options.sampling);
  StreamDecoder stream(tokenizer, /*skip_special_tokens=*/true);
  StopScanner scanner(options.stop_strings);
  bool wanted = true;
  const auto emit = [&](const std::string& text) {
    result.text += text;
    if (!text.empty() && on_text) wanted = on_text(text) && wanted;
  };
  const Clock::time_point decode_start = Clock::now();
  for (int64_t step = 0; step < options.max_new_tokens; ++step) {
    if (step > 0) {
      if (cache.length() >= context) break;
      const SequenceInput input{&cache, {&result.ids.back(), 1}};
      UNSWIFT_ASSIGN_OR_RETURN(hidden, decoder.Forward({&input, 1}));
      ++result.decode.tokens;
    }
    decoder.Logits(hidden, Rows(logits.data(), 1, static_cast<int64_t>(logits.size())));
    const int32_t id = sampler.Sample(logits);
    if (Contains(options.stop_ids, id)) {
      result.finish_reason = "stop";
      break;
    }
    result.ids.push_back(id);
    emit(scanner.Add(stream.Append(id)));
    if (scanner.stopped() || !wanted) {
      result.finish_reason = "stop";
      break;
    }
  }
  result.decode.seconds = SecondsSince(decode_start);
  if (!scanner.stopped()) {
    emit(scanner.Add(stream.Finish()));
    emit(scanner.Flush());
  }
  return result;
}

Result<std::vector<std::vector<int32_t>>> GenerateBatch(
    Decoder& decoder, const std::vector<std::vector<int32_t>>& prompts, int64_t max_new_tokens,
    const SamplingOptions& sampling, int64_t max_batch, const StepFn& on_step) {
  const int64_t vocab = decoder.model().config().vocab_size;
  std::vector<std::vector<int32_t>> results(prompts.size());
  for (size_t first = 0; first < prompts.size(); first += max_batch) {
    const size_t count = std::min<size_t>(max_batch, prompts.size() - first);
    std::vector<std::unique_ptr<KvCache>> caches;
    std::vector<Sampler> samplers;
    std::vector<float> logits(count * vocab);
    const Rows logit_rows(logits.data(), static_cast<int64_t>(count), vocab);
    for (size_t i = 0; i < count; ++i) {
      caches.push_back(decoder.MakeCache());
      samplers.emplace_back(sampling, first + i);
      UNSWIFT_ASSIGN_OR_RETURN(const ConstRows hidden,
                               Prefill(decoder, *caches[i], prompts[first + i]));
      decoder.Logits(hidden, logit_rows.Slice(static_cast<int64_t>(i), 1));
    }
    for (int64_t step = 0; step < max_new_tokens; ++step) {
      std::vector<int32_t> picked(count);
      decoder.pool().ParallelForDynamic(static_cast<int64_t>(count), [&](int64_t i, int) {
        picked[i] = samplers[i].Sample(logit_rows.row(i));
      });
      std::vector<SequenceInput> inputs;
      for (size_t i = 0; i < count; ++i) {
        results[first + i].push_back(picked[i]);
        if (on_step) on_step(first + i, picked[i], logit_rows.row(static_cast<int64_t>(i)));
        inputs.push_back({caches[i].get(), {&picked[i], 1}});
      }
      if (step + 1 == max_new_tokens) break;
      UNSWIFT_ASSIGN_OR_RETURN(const ConstRows hidden, decoder.Forward(inputs));
      decoder.Logits(hidden, logit_rows);
    }
  }
  return results;
}

}  // namespace unswift
