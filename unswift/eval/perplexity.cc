#include "unswift/eval/perplexity.h"

#include <algorithm>
#include <cmath>

#include "unswift/ops/logits.h"

namespace unswift {
namespace {

// Positions whose logits are held at once: 128 rows of a 128k vocabulary are 64 MB.
constexpr int64_t kLogitRows = 128;

}  // namespace

double PerplexityResult::perplexity() const { return std::exp(mean_nll()); }

std::vector<std::span<const int32_t>> CutIntoWindows(std::span<const int32_t> ids, int64_t window,
                                                     int64_t max_tokens) {
  if (max_tokens > 0 && max_tokens < static_cast<int64_t>(ids.size())) ids = ids.first(max_tokens);
  std::vector<std::span<const int32_t>> windows;
  for (size_t begin = 0; begin < ids.size(); begin += window) {
    windows.push_back(ids.subspan(begin, std::min<size_t>(window, ids.size() - begin)));
  }
  return windows;
}

Result<> ForEachLogitBlock(std::span<Decoder* const> decoders, std::span<const int32_t> window,
                           const LogitBlockFn& visit) {
  std::vector<ConstRows> hidden;
  for (Decoder* decoder : decoders) {
    const std::unique_ptr<KvCache> cache = decoder->MakeCache();
    const SequenceInput input{cache.get(), window};
    UNSWIFT_ASSIGN_OR_RETURN(const ConstRows rows, decoder->Forward({&input, 1}));
    hidden.push_back(rows);
  }
  const int64_t predictions = static_cast<int64_t>(window.size()) - 1;
  std::vector<std::vector<float>> buffers(decoders.size());
  for (int64_t begin = 0; begin < predictions; begin += kLogitRows) {
    const int64_t count = std::min(kLogitRows, predictions - begin);
    std::vector<ConstRows> logits;
    for (size_t d = 0; d < decoders.size(); ++d) {
      const int64_t vocab = decoders[d]->model().config().vocab_size;
      buffers[d].resize(kLogitRows * vocab);
      const Rows rows(buffers[d].data(), count, vocab);
      decoders[d]->Logits(hidden[d].Slice(begin, count), rows);
      logits.push_back(rows);
    }
    visit(begin, logits);
  }
  return {};
}

Result<PerplexityResult> Perplexity(Decoder& decoder,
                                    std::span<const std::span<const int32_t>> windows,
                                    const ProgressFn& progress) {
  PerplexityResult result;
  Decoder* const decoders[] = {&decoder};
  for (size_t w = 0; w < windows.size(); ++w) {
    Report(progress, "perplexity", static_cast<double>(w) / windows.size());
    const std::span<const int32_t> ids = windows[w];
    if (ids.size() < 2) continue;
    UNSWIFT_RETURN_IF_ERROR(
        ForEachLogitBlock(decoders, ids, [&](int64_t first, std::span<const ConstRows> logits) {
          const ConstRows& rows = logits[0];
          std::vector<double> nll(rows.rows);
          decoder.pool().ParallelForDynamic(rows.rows, [&](int64_t r, int) {
            nll[r] = LogSumExp(rows.row(r)) - rows.row(r)[ids[first + r + 1]];
          });
          for (double value : nll) result.sum_nll += value;
          result.tokens += rows.rows;
        }));
  }
  Report(progress, "perplexity", 1.0);
  if (result.tokens == 0) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "[perplexity] expected at least two tokens in a window");
  }
  return result;
}

}  // namespace unswift
