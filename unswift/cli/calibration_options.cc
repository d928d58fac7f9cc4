#include "unswift/cli/calibration_options.h"

#include "unswift/base/mapped_file.h"
#include "unswift/tokenizer/tokenizer.h"

namespace unswift {
namespace {

Result<TokenWindows> ReadWindows(const Tokenizer& tokenizer, const ModelConfig& config,
                                 const CalibrationFlags& flags) {
  CalibrationOptions options = flags.options;
  options.window = std::min(options.window, config.context_length);
  std::vector<int32_t> ids;
  for (const std::string& path : flags.text_files) {
    UNSWIFT_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
    UNSWIFT_ASSIGN_OR_RETURN(const std::vector<int32_t> more,
                             tokenizer.Encode(text, /*add_special_tokens=*/false));
    ids.insert(ids.end(), more.begin(), more.end());
  }
  return CutWindows(ids, options);
}

}  // namespace

void AddCalibrationFlags(CLI::App* command, CalibrationFlags& flags) {
  command->add_option("--text-file", flags.text_files,
                      "calibrate on these files (default: text that the model writes itself)");
  command->add_option("--max-tokens", flags.options.max_tokens, "tokens of calibration text")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--window", flags.options.window, "tokens per sample")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      ->add_option("--margin", flags.options.margin,
                   "widening of the seen range at both ends, as a share of it")
      ->check(CLI::Range(0.0, 10.0))
      ->capture_default_str();
}

Result<ModelStatistics> CalibrateModel(CommandLine& line, const std::string& model,
                                       const CalibrationFlags& flags) {
  UNSWIFT_ASSIGN_OR_RETURN(const OpenedModel opened, OpenForRun(line, model));
  if (opened.manifest) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "[calibrate] {}: expected an original checkpoint, got a release", model);
  }
  UNSWIFT_ASSIGN_OR_RETURN(const Tokenizer tokenizer, Tokenizer::Open(opened.files));
  Decoder decoder(opened.model, line.pool());
  TokenWindows windows;
  if (flags.text_files.empty()) {
    UNSWIFT_ASSIGN_OR_RETURN(windows,
                             WriteOwnText(decoder, tokenizer, flags.options, line.progress()));
  } else {
    UNSWIFT_ASSIGN_OR_RETURN(windows, ReadWindows(tokenizer, opened.model.config(), flags));
  }
  return Calibrate(decoder, windows, flags.options, line.progress());
}

}  // namespace unswift
