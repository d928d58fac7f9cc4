#include "unswift/runtime/calibration.h"

#include <algorithm>
#include <optional>

#include "unswift/base/random.h"
#include "unswift/runtime/generation.h"

namespace unswift {
namespace {

constexpr int64_t kMaxSequencesAtOnce = 64;
constexpr int64_t kMaxRowsAtOnce = 1024;
// Of the seed: the sequences use streams 0, 1, 2, ...
constexpr uint64_t kStartTokenStream = uint64_t{1} << 40;

std::optional<int32_t> EndOfTextToken(const ModelConfig& config, const Tokenizer& tokenizer) {
  // Pre-training separates documents with <|endoftext|> where a tokenizer has it; the chat's end
  // token (config eos_token_id) is a substitute.
  const std::optional<int32_t> id = tokenizer.TokenToId("<|endoftext|>");
  if (id && *id < config.vocab_size) return id;
  if (!config.eos_token_ids.empty()) return config.eos_token_ids.front();
  return std::nullopt;
}

std::vector<int32_t> StartTokens(const ModelConfig& config, const Tokenizer& tokenizer,
                                 int64_t count, uint64_t seed) {
  std::optional<int32_t> bos, end = EndOfTextToken(config, tokenizer);
  if (!config.bos_token_ids.empty()) bos = config.bos_token_ids.front();
  Random random(seed, kStartTokenStream);
  std::vector<int32_t> starts;
  for (int64_t i = 0; i < count; ++i) {
    const std::optional<int32_t> wanted = i < (count + 1) / 2 ? bos : end;
    const std::optional<int32_t> start = wanted ? wanted : (bos ? bos : end);
    starts.push_back(start ? *start : static_cast<int32_t>(random.NextBelow(config.vocab_size)));
  }
  return starts;
}

int64_t WindowOf(const ModelConfig& config, const CalibrationOptions& options) {
  return std::clamp<int64_t>(options.window, 1, config.context_length);
}

/// One pass over the windows: forwards them in batches and hands every layer's rows to `visit`.
class Pass final : public MlpObserver {
 public:
  using Visit = std::function<void(int64_t layer, ConstRows z, ConstRows u, ConstRows residual)>;
  Pass(Decoder& decoder, Visit visit) : decoder_(decoder), visit_(std::move(visit)) {}

  void OnMlp(int64_t layer, ConstRows z, ConstRows u, ConstRows residual) override {
    const ModelConfig& config = decoder_.model().config();
    const MlpWeights& mlp = decoder_.model().layers()[layer].mlp;
    const bool gated = config.architecture->mlp == MlpKind::kGated;
    const std::vector<float>& bias = gated ? mlp.gate_proj.bias : mlp.up_proj.bias;
    visit_(layer, bias.empty() ? z : WithoutBias(z, bias), u, residual);
  }

  Result<> Run(const TokenWindows& windows, const char* stage, const ProgressFn& progress) {
    for (size_t first = 0; first < windows.size();) {
      Report(progress, stage, static_cast<double>(first) / windows.size());
      std::vector<std::unique_ptr<KvCache>> caches;
      std::vector<SequenceInput> batch;
      int64_t rows = 0;
      while (
          first < windows.size() &&
          (batch.empty() || rows + static_cast<int64_t>(windows[first].size()) <= kMaxRowsAtOnce)) {
        caches.push_back(decoder_.MakeCache());
        batch.push_back({caches.back().get(), windows[first]});
        rows += static_cast<int64_t>(windows[first].size());
        ++first;
      }
      UNSWIFT_RETURN_IF_ERROR(decoder_.Forward(batch, this));
    }
    Report(progress, stage, 1.0);
    return {};
  }

 private:
  ConstRows WithoutBias(ConstRows z, const std::vector<float>& bias) {
    without_bias_.resize(z.rows * z.cols);
    const Rows out(without_bias_.data(), z.rows, z.cols);
    for (int64_t r = 0; r < z.rows; ++r) {
      for (int64_t c = 0; c < z.cols; ++c) out.row(r)[c] = z.row(r)[c] - bias[c];
    }
    return out;
  }

  Decoder& decoder_;
  Visit visit_;
  std::vector<float> without_bias_;
};

std::vector<double> InverseSquaredNorms(ConstRows residual) {
  std::vector<double> weights(residual.rows);
  for (int64_t r = 0; r < residual.rows; ++r) {
    double sum = 0.0;
    for (float value : residual.row(r)) sum += static_cast<double>(value) * value;
    weights[r] = sum > 0.0 ? 1.0 / sum : 0.0;
  }
  return weights;
}

}  // namespace

Result<TokenWindows> WriteOwnText(Decoder& decoder, const Tokenizer& tokenizer,
                                  const CalibrationOptions& options, const ProgressFn& progress) {
  const ModelConfig& config = decoder.model().config();
  const int64_t window = WindowOf(config, options);
  const int64_t count = std::max<int64_t>(1, options.max_tokens / window);
  TokenWindows windows;
  for (int32_t start : StartTokens(config, tokenizer, count, options.seed)) {
    windows.push_back({start});
  }
  if (window == 1) return windows;
  SamplingOptions sampling;
  sampling.temperature = 1.0;
  sampling.seed = options.seed;
  int64_t steps = 0;
  const int64_t all_steps = count * (window - 1);
  const StepFn on_step = [&](size_t, int32_t, std::span<const float>) {
    Report(progress, "write text", static_cast<double>(++steps) / static_cast<double>(all_steps));
  };
  UNSWIFT_ASSIGN_OR_RETURN(const auto written, GenerateBatch(decoder, windows, window - 1, sampling,
                                                             kMaxSequencesAtOnce, on_step));
  for (size_t i = 0; i < windows.size(); ++i) {
    windows[i].insert(windows[i].end(), written[i].begin(), written[i].end());
  }
  return windows;
}

TokenWindows CutWindows(const std::vector<int32_t>& ids, const CalibrationOptions& options) {
  TokenWindows windows;
  const size_t total = std::min<size_t>(ids.size(), std::max<int64_t>(0, options.max_tokens));
  const size_t window = std::max<int64_t>(1, options.window);
  for (size_t begin = 0; begin < total; begin += window) {
    const size_t end = std::min(begin + window, total);
    windows.emplace_back(ids.begin() + begin, ids.begin() + end);
  }
  return windows;
}

Result<ModelStatistics> Calibrate(Decoder& decoder, const TokenWindows& windows,
                                  const CalibrationOptions& options, const ProgressFn& progress) {
  if (windows.empty()) {
    return MakeError(ErrorCode::kInvalidArgument, "[calibrate] no tokens to calibrate on");
  }
  const ModelConfig& config = decoder.model().config();
  ThreadPool& pool = decoder.pool();
  std::vector<RangeAccumulator> ranges(config.num_hidden_layers,
                                       RangeAccumulator(config.intermediate_size));
  Pass range_pass(decoder, [&](int64_t layer, ConstRows z, ConstRows, ConstRows) {
    ranges[layer].Add(z, pool);
  });
  UNSWIFT_RETURN_IF_ERROR(range_pass.Run(windows, "ranges", progress));
  std::vector<HistogramAccumulator> histograms;
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    UNSWIFT_ASSIGN_OR_RETURN(const LayerRange range, ranges[layer].Finish(static_cast<int>(layer)));
    histograms.emplace_back(range, options.margin);
  }
  Pass histogram_pass(decoder, [&](int64_t layer, ConstRows z, ConstRows u, ConstRows residual) {
    histograms[layer].Add(z, u, InverseSquaredNorms(residual), pool);
  });
  UNSWIFT_RETURN_IF_ERROR(histogram_pass.Run(windows, "histograms", progress));
  ModelStatistics statistics;
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    UNSWIFT_ASSIGN_OR_RETURN(auto finished, histograms[layer].Finish(static_cast<int>(layer)));
    statistics.layers.push_back(std::move(finished));
  }
  for (const auto& window : windows) statistics.num_tokens += static_cast<int64_t>(window.size());
  return statistics;
}

}  // namespace unswift
