#include "unswift/cli/command_line.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>

#include "unswift/base/memory_usage.h"
#include "unswift/cli/version.h"
#include "unswift/io/text.h"
#include "unswift/provenance/secret_memory.h"

namespace unswift {
namespace {

constexpr char kFooter[] =
    "MODEL is a Hugging Face directory or a release made by 'protect'.\n"
    "Results go to stdout, everything else to stderr; --json prints one JSON object.\n"
    "Exit status: 0 done (and holds), 1 does not hold, 2 bad usage or bad input.\n\n"
    "  unswift import model.gguf -o model      get a Hugging Face directory\n"
    "  unswift protect model -o release        make an evaluation copy, 4x slower\n"
    "  unswift verify release --against model  is it the same model?\n"
    "  unswift chat release                    talk to it\n"
    "  unswift keygen -o KEY && unswift sign release --key KEY\n"
    "                                          say whose it is\n";

}  // namespace

CommandLine::CommandLine()
    : app_("unswift: release an LLM for evaluation as a slower copy with the same tokens",
           "unswift") {
  app_.set_version_flag("--version", std::string("unswift ") + kVersion);
  app_.require_subcommand(1);
  app_.footer(kFooter);
}

CLI::App* CommandLine::AddCommand(const std::string& name, const std::string& description,
                                  Run run) {
  CLI::App* command = app_.add_subcommand(name, description);
  command->add_option("--threads", common_.threads, "threads (default: physical cores)")
      ->check(CLI::Range(1, 1024));
  command->add_flag("--json", common_.json, "print one JSON object on stdout, nothing else");
  command->add_flag("-q,--quiet", common_.quiet, "no progress and no notes on stderr");
  command->add_flag("-v,--verbose", common_.verbose, "more notes on stderr");
  command->callback([this, run = std::move(run)] { selected_ = run; });
  return command;
}

void CommandLine::AddWeights(CLI::App* command) {
  command
      ->add_option(
          "--weights", common_.weights,
          "type of the weights in memory: f32, f16, bf16, q8_0 or q4_0 (default: as stored; "
          "a release's theta always is)")
      ->check(CLI::IsMember({"f32", "f16", "bf16", "q8_0", "q4_0"}));
}

void CommandLine::AddRunFlags(CLI::App* command) {
  command
      ->add_option("--activations", common_.activations,
                   "precision of activations in prefill: f32, or bf16 (faster, plain models only)")
      ->check(CLI::IsMember({"f32", "bf16"}))
      ->capture_default_str();
  command
      ->add_option("--kv-dtype", common_.kv_dtype, "type of cached keys and values: f32, f16, bf16")
      ->check(CLI::IsMember({"f32", "f16", "bf16"}))
      ->capture_default_str();
}

int CommandLine::Main(int argc, char** argv) {
  try {
    app_.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help and version requests arrive here too, with exit code 0.
    return app_.exit(error) == 0 ? kDone : kBadInput;
  }
  const Result<ExitStatus> status = selected_();
  if (!status) {
    fmt::print(stderr, "unswift: {}\n", status.error().message);
    return kBadInput;
  }
  if (std::fflush(stdout) != 0) {
    fmt::print(stderr, "unswift: [write] stdout: could not write the result\n");
    return kBadInput;
  }
  return *status;
}

ThreadPool& CommandLine::pool() {
  if (!pool_) {
    pool_ =
        std::make_unique<ThreadPool>(common_.threads > 0 ? common_.threads : NumPhysicalCores());
  }
  return *pool_;
}

ProgressFn CommandLine::progress() const {
  if (common_.quiet || isatty(STDERR_FILENO) == 0) return {};
  return [shown = std::string()](std::string_view stage, double done) mutable {
    const std::string text = fmt::format("{} {:.0f} %", stage, 100.0 * done);
    if (text == shown) return;
    shown = text;
    fmt::print(stderr, "\r\033[K{}", text);
    if (done >= 1.0) fmt::print(stderr, "\r\033[K");
    std::fflush(stderr);
  };
}

void CommandLine::Note(const std::string& line) const {
  if (!common_.quiet) fmt::print(stderr, "{}\n", line);
}

void CommandLine::Detail(const std::string& line) const {
  if (common_.verbose) fmt::print(stderr, "{}\n", line);
}

void PrintJson(const Json& json, int indent) {
  fmt::print("{}\n", json.dump(indent, ' ', false, Json::error_handler_t::replace));
}

Result<OpenedFiles> OpenFilesForRun(CommandLine& line, const std::string& model) {
  if (line.common().open.unseal_key) ForbidCoreDumps();
  UNSWIFT_ASSIGN_OR_RETURN(OpenedFiles opened,
                           OpenModelFiles(model, line.common().open, line.pool(), line.progress()));
  if (opened.locked == false) {
    line.Detail("the memory of the opened file is not locked (see ulimit -l): it may be swapped");
  }
  if (opened.manifest) {
    const Manifest& manifest = *opened.manifest;
    if (!manifest.recipient.empty()) line.Note("recipient: " + Printable(manifest.recipient));
    if (!manifest.licence.empty()) line.Note("licence: " + Printable(manifest.licence));
    if (!manifest.expires.empty()) line.Note("expires: " + Printable(manifest.expires));
  }
  return opened;
}

Result<OpenedModel> OpenForRun(CommandLine& line, const std::string& model) {
  return OpenForRun(line, model, line.common().weights);
}

Result<OpenedModel> OpenForRun(CommandLine& line, const std::string& model,
                               const std::string& weights) {
  UNSWIFT_ASSIGN_OR_RETURN(const OpenedFiles files, OpenFilesForRun(line, model));
  UNSWIFT_ASSIGN_OR_RETURN(OpenedModel opened, OpenModel(files));
  if (const std::optional<DType> dtype = ParseDType(weights)) {
    const ConversionLoss loss = opened.model.ConvertWeights(*dtype, line.pool());
    line.Note(
        fmt::format("weights as {}: relative RMS error {:.2e}", weights, loss.relative_rms()));
  }
  return opened;
}

void CopyWeights(CommandLine& line, const std::vector<Model*>& models) {
  if (line.common().open.unseal_key) return;
  int64_t bytes = 0;
  for (const Model* model : models) {
    if (!model->has_private_weights()) bytes += model->weight_bytes_per_token();
  }
  constexpr double kLargestShare = 0.75;  // the file's pages and everything else need some, too
  const int64_t available = AvailableBytes();
  if (static_cast<double>(bytes) > kLargestShare * static_cast<double>(available)) {
    return line.Detail(fmt::format("the weights ({} MB) stay in their files: {} MB of memory left",
                                   bytes >> 20, available >> 20));
  }
  for (Model* model : models) model->CopyWeights(line.pool());
}

Result<OpenedModel> OpenForDecoding(CommandLine& line, const std::string& model) {
  UNSWIFT_ASSIGN_OR_RETURN(OpenedModel opened, OpenForRun(line, model));
  CopyWeights(line, {&opened.model});
  return opened;
}

Result<std::unique_ptr<Decoder>> MakeDecoder(CommandLine& line, const OpenedModel& opened) {
  DecoderOptions options;
  UNSWIFT_ASSIGN_OR_RETURN(options.kv_codec, MakeKvCodec(line.common().kv_dtype));
  if (line.common().activations == "bf16") {
    if (opened.model.is_release()) {
      return MakeError(
          ErrorCode::kInvalidArgument,
          "[run] --activations bf16: expected a plain model, got a release (the terms of "
          "its series cancel, so they need float32)");
    }
    options.activations = ActivationPrecision::kBF16;
  }
  return std::make_unique<Decoder>(opened.model, line.pool(), std::move(options));
}

CLI::Option* AddModel(CommandLine& line, CLI::App* command, std::string& model,
                      const std::string& description) {
  AddOpenFlags(line, command);
  return command->add_option("MODEL", model, description)->required();
}

void AddOpenFlags(CommandLine& line, CLI::App* command) {
  OpenModelOptions& open = line.open_options();
  constexpr char kGroup[] = "Which models are taken";
  command
      ->add_option("--require-signature", open.require_signature,
                   "public key that must have signed every file of MODEL")
      ->group(kGroup);
  command
      ->add_option("--min-version", open.min_version,
                   "refuse a signed release of an older release version")
      ->check(CLI::NonNegativeNumber)
      ->group(kGroup);
  command->add_flag("--ignore-expiry", open.ignore_expiry, "run a release after its last day")
      ->group(kGroup);
  command
      ->add_option("--unseal-key", open.unseal_key,
                   "private key that opens a sealed MODEL, in memory alone")
      ->group(kGroup);
}

}  // namespace unswift
