#include "unswift/eval/speed.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "unswift/base/random.h"
#include "unswift/ops/bandwidth.h"
#include "unswift/ops/logits.h"
#include "unswift/runtime/generation.h"

namespace unswift {
namespace {

constexpr int64_t kBandwidthBytes = int64_t{1} << 30;
// Enough for the path of many rows; a check of a whole long prompt would cost more than measuring
// it.
constexpr size_t kMostCheckedTokens = 64;

class Stopwatch {
 public:
  double Seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

std::vector<int32_t> RandomIds(int64_t count, int64_t vocab_size) {
  Random random(/*seed=*/1);
  std::vector<int32_t> ids(count);
  for (int32_t& id : ids) id = static_cast<int32_t>(random.NextBelow(vocab_size));
  return ids;
}

/// One model under measurement.
class Candidate {
 public:
  Candidate(Decoder& decoder, const SpeedOptions& options)
      : decoder_(decoder),
        options_(options),
        prompt_(RandomIds(options.prompt_tokens, decoder.model().config().vocab_size)),
        logits_(decoder.model().config().vocab_size),
        cache_(decoder.MakeCache()) {}

  /// Prefill of the prompt's beginning against prefill of all but its last token and one decode
  /// step.
  Result<> Check() {
    const std::span<const int32_t> ids =
        std::span(prompt_).first(std::min(prompt_.size(), kMostCheckedTokens));
    UNSWIFT_ASSIGN_OR_RETURN(const ConstRows whole, Prefill(decoder_, *cache_, ids));
    decoder_.Logits(whole, Row());
    const std::vector<float> expected = logits_;
    cache_->Clear();
    UNSWIFT_RETURN_IF_ERROR(Prefill(decoder_, *cache_, ids.first(ids.size() - 1)));
    UNSWIFT_RETURN_IF_ERROR(Step(ids.back()));
    double difference = 0.0, largest = 1.0;
    bool finite = true;
    for (size_t i = 0; i < expected.size(); ++i) {
      finite &= std::isfinite(expected[i]) && std::isfinite(logits_[i]);
      difference = std::max(difference, std::abs(static_cast<double>(expected[i]) - logits_[i]));
      largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
    }
    // Decoding never rounds activations to bf16 (2^-9 each), prefill does when asked to.
    const bool rounds = decoder_.options().activations == ActivationPrecision::kBF16;
    agrees_ = finite && difference <= (rounds ? 2e-2 : 1e-3) * largest;
    if (!agrees_ && options_.refuse_disagreement) {
      return MakeError(ErrorCode::kInvalidData,
                       "[bench] decode and prefill disagree: logits differ by {:.3g}", difference);
    }
    return {};
  }

  Result<> RunPrefill() {
    cache_->Clear();
    const double attention_before = decoder_.attention_seconds();
    const Stopwatch prefill;
    UNSWIFT_RETURN_IF_ERROR(Prefill(decoder_, *cache_, prompt_));
    prefill_seconds.push_back(prefill.Seconds());
    attention_shares.push_back((decoder_.attention_seconds() - attention_before) /
                               prefill_seconds.back());
    next_id_ = prompt_.front();
    return {};
  }

  Result<> DecodeOne() {
    const Stopwatch decode;
    UNSWIFT_RETURN_IF_ERROR(Step(next_id_));
    next_id_ = static_cast<int32_t>(ArgMax(logits_));
    step_seconds.push_back(decode.Seconds());
    return {};
  }

  ModelSpeed Speed() const {
    ModelSpeed speed;
    const auto rates = [](std::vector<double> seconds, double tokens) {
      for (double& value : seconds) value = tokens / value;
      return SpreadOf(std::move(seconds));
    };
    speed.prefill_tokens_per_second =
        rates(prefill_seconds, static_cast<double>(options_.prompt_tokens));
    speed.decode_tokens_per_second = rates(DecodeSecondsByRepetition(), 1.0);
    speed.prefill_attention_share = SpreadOf(attention_shares);
    speed.weight_bytes_per_token = decoder_.model().weight_bytes_per_token();
    speed.gigabytes_per_second = static_cast<double>(speed.weight_bytes_per_token) *
                                 speed.decode_tokens_per_second.median / 1e9;
    speed.agrees = agrees_;
    return speed;
  }

  std::vector<double> prefill_seconds;   // per repetition
  std::vector<double> attention_shares;  // of prefill_seconds
  std::vector<double> step_seconds;      // per token, repetition after repetition

 private:
  /// Mean of a repetition's tokens.
  std::vector<double> DecodeSecondsByRepetition() const {
    std::vector<double> seconds;
    for (auto step = step_seconds.begin(); step != step_seconds.end();
         step += options_.new_tokens) {
      seconds.push_back(std::accumulate(step, step + options_.new_tokens, 0.0) /
                        static_cast<double>(options_.new_tokens));
    }
    return seconds;
  }

  Rows Row() { return {logits_.data(), 1, static_cast<int64_t>(logits_.size())}; }

  Result<> Step(int32_t id) {
    const SequenceInput input{cache_.get(), {&id, 1}};
    UNSWIFT_ASSIGN_OR_RETURN(const ConstRows hidden, decoder_.Forward({&input, 1}));
    decoder_.Logits(hidden, Row());
    return {};
  }

  Decoder& decoder_;
  const SpeedOptions& options_;
  std::vector<int32_t> prompt_;
  std::vector<float> logits_;
  std::unique_ptr<KvCache> cache_;
  int32_t next_id_ = 0;
  bool agrees_ = false;
};

double MedianRatio(const std::vector<double>& times, const std::vector<double>& base) {
  std::vector<double> ratios;
  for (size_t i = 0; i < times.size(); ++i) ratios.push_back(times[i] / base[i]);
  return SpreadOf(std::move(ratios)).median;
}

Result<> CheckOptions(std::span<Decoder* const> decoders, const SpeedOptions& options) {
  if (options.prompt_tokens < 2 || options.new_tokens < 1 || options.repetitions < 1) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "[bench] expected at least 2 prompt tokens, 1 new token and 1 repetition");
  }
  for (const Decoder* decoder : decoders) {
    const int64_t context = decoder->model().config().context_length;
    if (options.prompt_tokens + options.new_tokens > context) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "[bench] prompt and new tokens: expected at most the context of {}, got {}",
                       context, options.prompt_tokens + options.new_tokens);
    }
  }
  return {};
}

}  // namespace

Spread SpreadOf(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  const double median =
      values.size() % 2 == 1 ? values[middle] : 0.5 * (values[middle - 1] + values[middle]);
  return {median, values.front(), values.back()};
}

Result<SpeedResult> MeasureSpeed(std::span<Decoder* const> decoders, const SpeedOptions& options,
                                 const ProgressFn& progress) {
  UNSWIFT_RETURN_IF_ERROR(CheckOptions(decoders, options));
  std::vector<Candidate> candidates;
  for (Decoder* decoder : decoders) {
    candidates.emplace_back(*decoder, options);
    UNSWIFT_RETURN_IF_ERROR(candidates.back().Check());
  }
  SpeedResult result;
  for (int repetition = 0; repetition < options.repetitions; ++repetition) {
    Report(progress, "bench", static_cast<double>(repetition) / options.repetitions);
    if (options.measure_bandwidth) {
      result.read_bandwidth = std::max(
          result.read_bandwidth, MeasureReadBandwidth(kBandwidthBytes, 3, decoders[0]->pool()));
    }
    for (Candidate& candidate : candidates) UNSWIFT_RETURN_IF_ERROR(candidate.RunPrefill());
    for (int64_t step = 0; step < options.new_tokens; ++step) {
      for (Candidate& candidate : candidates) UNSWIFT_RETURN_IF_ERROR(candidate.DecodeOne());
    }
  }
  Report(progress, "bench", 1.0);
  for (const Candidate& candidate : candidates) {
    result.models.push_back(candidate.Speed());
    result.decode_slowdown.push_back(
        MedianRatio(candidate.step_seconds, candidates[0].step_seconds));
    result.prefill_slowdown.push_back(
        MedianRatio(candidate.prefill_seconds, candidates[0].prefill_seconds));
  }
  return result;
}

}  // namespace unswift
