// arithmetic_divergence MODEL TEXT WEIGHTS [TOKENS]: what integer arithmetic costs, apart from what
// quantising the weights costs. Runs the same q8_0 or q4_0 weights with the integer kernels and
// with the float32 ones, on windows of 512 tokens in one pass and on shorter ones token by token,
// and prints the KL divergence of the predictions from float32's, and how many keep their first
// token.
#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>

#include "unswift/base/mapped_file.h"
#include "unswift/eval/perplexity.h"
#include "unswift/eval/token_match.h"
#include "unswift/ops/cpu/packed_matmul.h"
#include "unswift/ops/logits.h"
#include "unswift/release/reader/open_model.h"
#include "unswift/tokenizer/tokenizer.h"

namespace unswift {
namespace {

struct Divergence {
  int64_t predictions = 0, equal = 0;
  double sum = 0.0, max = 0.0;
};

void Compare(std::span<const float> want, std::span<const float> got, Divergence& divergence) {
  const double kl = KlDivergence(want, LogSumExp(want), got, LogSumExp(got));
  ++divergence.predictions;
  divergence.sum += kl;
  divergence.max = std::max(divergence.max, kl);
  divergence.equal += ArgMax(want) == ArgMax(got) ? 1 : 0;
}

/// Logits of every position, the window in passes of `step` tokens.
Result<std::vector<float>> AllLogits(Decoder& decoder, std::span<const int32_t> window,
                                     size_t step) {
  const int64_t vocabulary = decoder.model().config().vocab_size;
  std::vector<float> logits(window.size() * vocabulary);
  const auto cache = decoder.MakeCache();
  for (size_t at = 0; at < window.size(); at += step) {
    const auto ids = window.subspan(at, std::min(step, window.size() - at));
    const SequenceInput input{cache.get(), ids, static_cast<int64_t>(window.size())};
    UNSWIFT_ASSIGN_OR_RETURN(const ConstRows hidden, decoder.Forward({&input, 1}));
    decoder.Logits(hidden, Rows(&logits[at * vocabulary], hidden.rows, vocabulary));
  }
  return logits;
}

Result<Divergence> Measure(Decoder& decoder, std::span<const std::span<const int32_t>> windows,
                           size_t step) {
  Divergence divergence;
  const int64_t vocabulary = decoder.model().config().vocab_size;
  for (const std::span<const int32_t> window : windows) {
    AllowVnniForTest(false);
    UNSWIFT_ASSIGN_OR_RETURN(const std::vector<float> want, AllLogits(decoder, window, step));
    AllowVnniForTest(true);
    UNSWIFT_ASSIGN_OR_RETURN(const std::vector<float> got, AllLogits(decoder, window, step));
    for (size_t i = 0; i < window.size(); ++i) {
      Compare(std::span(want).subspan(i * vocabulary, vocabulary),
              std::span(got).subspan(i * vocabulary, vocabulary), divergence);
    }
  }
  return divergence;
}

Result<> Run(const char* directory, const char* text_file, const char* weights, int64_t tokens) {
  ThreadPool pool(NumPhysicalCores());
  const std::optional<DType> dtype = ParseDType(weights);
  if (!dtype || !IsQuantized(*dtype)) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "[arithmetic_divergence] weights: expected q8_0 or q4_0, got '{}'", weights);
  }
  UNSWIFT_ASSIGN_OR_RETURN(OpenedModel opened, OpenModel(directory, {}, pool));
  opened.model.ConvertWeights(*dtype, pool);
  UNSWIFT_ASSIGN_OR_RETURN(const Tokenizer tokenizer, Tokenizer::Open(directory));
  UNSWIFT_ASSIGN_OR_RETURN(const std::string text, ReadFile(text_file));
  UNSWIFT_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, tokenizer.Encode(text, false));
  if (!PackedKernelUsesVnni()) {
    return MakeError(ErrorCode::kUnsupported,
                     "[arithmetic_divergence] expected a processor with AVX-512 VNNI");
  }
  Decoder decoder(opened.model, pool);
  for (const int64_t step : {int64_t{512}, int64_t{1}}) {
    const auto windows =
        step == 1 ? CutIntoWindows(ids, 128, tokens / 4) : CutIntoWindows(ids, step, tokens);
    UNSWIFT_ASSIGN_OR_RETURN(const Divergence d, Measure(decoder, windows, step));
    const auto count = static_cast<double>(d.predictions);
    fmt::print("{} {}: {} predictions, KL {:.2e}, largest {:.2e}, first token equal {:.2f} %\n",
               weights, step == 1 ? "token by token" : "in one pass", d.predictions, d.sum / count,
               d.max, 100.0 * static_cast<double>(d.equal) / count);
  }
  return {};
}

}  // namespace
}  // namespace unswift

int main(int argc, char** argv) {
  if (argc < 4) {
    fmt::print(stderr, "usage: arithmetic_divergence MODEL TEXT q8_0|q4_0 [TOKENS]\n");
    return 2;
  }
  const auto done = unswift::Run(argv[1], argv[2], argv[3], argc > 4 ? std::atoll(argv[4]) : 8192);
  if (!done) fmt::print(stderr, "{}\n", done.error().message);
  return done ? 0 : 2;
}
