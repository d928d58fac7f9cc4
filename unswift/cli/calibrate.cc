#include <fmt/core.h>

#include "unswift/cli/calibration_options.h"

namespace unswift {
namespace {

struct CalibrateOptions {
  std::string model, output;
  CalibrationFlags flags;
  bool force = false;
};

Result<ExitStatus> RunCalibrate(CommandLine& line, const CalibrateOptions& options) {
  if (!options.force && std::filesystem::exists(options.output)) {
    return MakeError(ErrorCode::kAlreadyExists,
                     "[calibrate] {}: exists already (use --force to replace it)", options.output);
  }
  UNSWIFT_ASSIGN_OR_RETURN(const ModelStatistics statistics,
                           CalibrateModel(line, options.model, options.flags));
  UNSWIFT_RETURN_IF_ERROR(WriteStatistics(statistics, options.output, options.force));
  const int64_t units = statistics.layers.front().num_units;
  if (line.common().json) {
    PrintJson({{"tokens", statistics.num_tokens},
               {"layers", statistics.layers.size()},
               {"units", units}});
  } else {
    fmt::print("{}: {} tokens, {} layers of {} units\n", options.output, statistics.num_tokens,
               statistics.layers.size(), units);
  }
  return kDone;
}

}  // namespace

void AddCalibrate(CommandLine& line) {
  auto options = std::make_shared<CalibrateOptions>();
  CLI::App* command =
      line.AddCommand("calibrate", "record what the MLPs' pre-activations look like",
                      [&line, options] { return RunCalibrate(line, *options); });
  AddModel(line, command, options->model, "Hugging Face checkpoint");
  command->add_option("-o,--output", options->output, "STATS.safetensors to write")->required();
  AddCalibrationFlags(command, options->flags);
  command->add_option("--seed", options->flags.options.seed, "of the model's own text")
      ->capture_default_str();
  command->add_flag("--force", options->force, "replace an existing file");
}

}  // namespace unswift
