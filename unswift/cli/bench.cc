#include <fmt/core.h>

#include "unswift/cli/command_line.h"
#include "unswift/eval/speed.h"

namespace unswift {
namespace {

struct BenchOptions {
  std::vector<std::string> models, weights;
  SpeedOptions speed;
};

Json SpreadJson(const Spread& spread) {
  return {{"median", spread.median}, {"min", spread.min}, {"max", spread.max}};
}

Json ResultJson(const BenchOptions& options, const SpeedResult& result, int threads) {
  Json models = Json::array(), ratios = Json::array();
  for (size_t i = 0; i < result.models.size(); ++i) {
    const ModelSpeed& speed = result.models[i];
    models.push_back(
        {{"model", options.models[i]},
         {"prefill_tokens_per_second", SpreadJson(speed.prefill_tokens_per_second)},
         {"decode_tokens_per_second", SpreadJson(speed.decode_tokens_per_second)},
         {"prefill_attention_share", SpreadJson(speed.prefill_attention_share)},
         {"weight_bytes_per_token", speed.weight_bytes_per_token},
         {"gigabytes_per_second", speed.gigabytes_per_second},
         {"share_of_read_bandwidth", 1e9 * speed.gigabytes_per_second / result.read_bandwidth}});
    if (i == 0) continue;
    const double predicted = static_cast<double>(speed.weight_bytes_per_token) /
                             static_cast<double>(result.models[0].weight_bytes_per_token);
    ratios.push_back({{"model", options.models[i]},
                      {"against", options.models[0]},
                      {"predicted_slowdown", predicted},
                      {"decode_slowdown", result.decode_slowdown[i]},
                      {"prefill_slowdown", result.prefill_slowdown[i]}});
  }
  return {{"models", std::move(models)},
          {"ratios", std::move(ratios)},
          {"read_bandwidth_gigabytes_per_second", result.read_bandwidth / 1e9},
          {"threads", threads},
          {"prompt_tokens", options.speed.prompt_tokens},
          {"new_tokens", options.speed.new_tokens},
          {"repetitions", options.speed.repetitions}};
}

void PrintText(const Json& json) {
  fmt::print("read bandwidth {:.1f} GB/s, {} threads\n",
             json["read_bandwidth_gigabytes_per_second"].get<double>(), json["threads"].get<int>());
  for (const Json& model : json["models"]) {
    const Json& prefill = model["prefill_tokens_per_second"];
    const Json& decode = model["decode_tokens_per_second"];
    fmt::print("{}\n  prefill {:.1f} tokens/s ({:.1f} to {:.1f}), {:.0f} % of it in attention\n",
               model["model"].get<std::string>(), prefill["median"].get<double>(),
               prefill["min"].get<double>(), prefill["max"].get<double>(),
               100.0 * model["prefill_attention_share"]["median"].get<double>());
    fmt::print(
        "  decode  {:.2f} tokens/s ({:.2f} to {:.2f}), {:.1f} GB/s of weights, {:.0f} % of "
        "the bandwidth\n",
        decode["median"].get<double>(), decode["min"].get<double>(), decode["max"].get<double>(),
        model["gigabytes_per_second"].get<double>(),
        100.0 * model["share_of_read_bandwidth"].get<double>());
  }
  for (const Json& ratio : json["ratios"]) {
    fmt::print("{}: {:.2f}x slower in decode ({:.2f}x predicted), {:.2f}x in prefill\n",
               ratio["model"].get<std::string>(), ratio["decode_slowdown"].get<double>(),
               ratio["predicted_slowdown"].get<double>(), ratio["prefill_slowdown"].get<double>());
  }
}

Result<ExitStatus> RunBench(CommandLine& line, const BenchOptions& options) {
  std::vector<OpenedModel> opened;
  opened.reserve(options.models.size());
  std::vector<std::unique_ptr<Decoder>> owned;
  std::vector<Decoder*> decoders;
  const size_t num_weights = options.weights.size();
  if (num_weights > 1 && num_weights != options.models.size()) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "[bench] --weights: expected one type, or one for each of {} models, got {}",
                     options.models.size(), num_weights);
  }
  for (size_t i = 0; i < options.models.size(); ++i) {
    const std::string weights =
        num_weights == 0 ? std::string() : options.weights[num_weights == 1 ? 0 : i];
    UNSWIFT_ASSIGN_OR_RETURN(OpenedModel model, OpenForRun(line, options.models[i], weights));
    opened.push_back(std::move(model));
    UNSWIFT_ASSIGN_OR_RETURN(std::unique_ptr<Decoder> decoder, MakeDecoder(line, opened.back()));
    owned.push_back(std::move(decoder));
    decoders.push_back(owned.back().get());
  }
  std::vector<Model*> models;
  for (OpenedModel& model : opened) models.push_back(&model.model);
  CopyWeights(line, models);
  UNSWIFT_ASSIGN_OR_RETURN(const SpeedResult result,
                           MeasureSpeed(decoders, options.speed, line.progress()));
  const Json json = ResultJson(options, result, line.pool().num_threads());
  if (line.common().json) {
    PrintJson(json);
  } else {
    PrintText(json);
  }
  return kDone;
}

}  // namespace

void AddBench(CommandLine& line) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = line.AddCommand(
      "bench", "prefill and decode speed of models, interleaved, against the read bandwidth",
      [&line, options] { return RunBench(line, *options); });
  AddOpenFlags(line, command);
  line.AddRunFlags(command);
  command->add_option("MODEL", options->models, "checkpoints or releases; ratios are to the first")
      ->required();
  command
      ->add_option("--weights", options->weights,
                   "type of the weights in memory, for all or (a,b,...) one per model: f32, f16, "
                   "bf16, q8_0, q4_0 or stored")
      ->delimiter(',')
      ->check(CLI::IsMember({"f32", "f16", "bf16", "q8_0", "q4_0", "stored"}));
  command->add_option("--prompt-tokens", options->speed.prompt_tokens)
      ->check(CLI::Range(2, 1 << 20))
      ->capture_default_str();
  command->add_option("--new-tokens", options->speed.new_tokens)
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command->add_option("--repetitions", options->speed.repetitions)
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
}

}  // namespace unswift
