#include <algorithm>
#include <numeric>

#include "unswift/cli/command_line.h"
#include "unswift/runtime/generation.h"
#include "unswift/runtime/prompts.h"

namespace unswift {
namespace {

struct LogitsOptions {
  std::string model, prompts_file;
  int64_t top = 20;
};

Json TopLogits(const std::vector<float>& logits, int64_t top) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const int64_t count = std::min<int64_t>(top, static_cast<int64_t>(order.size()));
  std::partial_sort(order.begin(), order.begin() + count, order.end(), [&](int32_t a, int32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  });
  Json json = Json::array();
  for (int64_t i = 0; i < count; ++i) json.push_back({order[i], logits[order[i]]});
  return json;
}

Result<ExitStatus> RunLogits(CommandLine& line, const LogitsOptions& options) {
  UNSWIFT_ASSIGN_OR_RETURN(const std::vector<Prompt> prompts, ReadPrompts(options.prompts_file));
  UNSWIFT_ASSIGN_OR_RETURN(const OpenedModel opened, OpenForRun(line, options.model));
  UNSWIFT_ASSIGN_OR_RETURN(const PromptEncoder encoder, PromptEncoder::Open(opened.files));
  UNSWIFT_ASSIGN_OR_RETURN(const std::unique_ptr<Decoder> decoder, MakeDecoder(line, opened));
  std::vector<float> logits(opened.model.config().vocab_size);
  for (const Prompt& prompt : prompts) {
    UNSWIFT_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, encoder.Encode(prompt));
    const std::unique_ptr<KvCache> cache = decoder->MakeCache();
    UNSWIFT_ASSIGN_OR_RETURN(const ConstRows hidden, Prefill(*decoder, *cache, ids));
    decoder->Logits(hidden, Rows(logits.data(), 1, static_cast<int64_t>(logits.size())));
    PrintJson({{"prompt_ids", ids}, {"top", TopLogits(logits, options.top)}}, -1);
  }
  return kDone;
}

}  // namespace

void AddLogits(CommandLine& line) {
  auto options = std::make_shared<LogitsOptions>();
  CLI::App* command =
      line.AddCommand("logits", "logits of the last position of each prompt, as JSON lines",
                      [&line, options] { return RunLogits(line, *options); });
  AddModel(line, command, options->model);
  line.AddWeights(command);
  line.AddRunFlags(command);
  command->add_option("--prompts-file", options->prompts_file, "one JSON per line")->required();
  command->add_option("--top", options->top, "how many, largest first")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
}

}  // namespace unswift
