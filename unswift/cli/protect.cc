#include "unswift/release/maker/protect.h"

#include <fmt/core.h>

#include <charconv>
#include <chrono>
#include <set>

#include "unswift/base/memory_usage.h"
#include "unswift/base/scratch_directory.h"
#include "unswift/cli/calibration_options.h"
#include "unswift/cli/version.h"
#include "unswift/io/json.h"
#include "unswift/marks/mark_checkpoint.h"
#include "unswift/release/reader/expiry.h"

namespace unswift {
namespace {

// The authors' Llama-3-8B run protects 10,000 of 14,336 units.
constexpr double kPaperUnitShare = 0.7;
constexpr double kPaperOrder = 8.0;

struct ProtectFlags {
  std::string model, output;
  std::optional<std::string> calibration;
  CalibrationFlags text;
  std::string preset = "default";
  std::optional<double> slowdown, order;
  std::optional<std::string> basis, guard, allocation, rounding, dtype;
  std::string units = "all", layers;
  bool sign_flip = false, force = false;
  std::string recipient, licence, expires;
  std::optional<std::string> registry;
  int64_t release_version = 0;
  uint64_t seed = 0;
};

Result<int64_t> ParseCount(std::string_view text, std::string_view what) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value < 0) {
    return MakeError(ErrorCode::kInvalidArgument, "[protect] {}: expected a number, got '{}'", what,
                     text);
  }
  return value;
}

/// "0-3,7" -> {0, 1, 2, 3, 7}.
Result<std::vector<int64_t>> ParseLayers(std::string_view text) {
  constexpr int64_t kMaxLayer = 100'000;
  std::set<int64_t> layers;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    const std::string_view item = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    const size_t dash = item.find('-');
    UNSWIFT_ASSIGN_OR_RETURN(const int64_t first, ParseCount(item.substr(0, dash), "--layers"));
    int64_t last = first;
    if (dash != std::string_view::npos) {
      UNSWIFT_ASSIGN_OR_RETURN(last, ParseCount(item.substr(dash + 1), "--layers"));
    }
    if (last < first || last > kMaxLayer) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "[protect] --layers: expected ascending ranges like 0-3,7, got '{}'", item);
    }
    for (int64_t layer = first; layer <= last; ++layer) layers.insert(layer);
  }
  return std::vector<int64_t>(layers.begin(), layers.end());
}

/// What a flag means when it is not given.
struct PresetRow {
  const char *basis, *guard, *allocation, *rounding, *dtype;
};
constexpr PresetRow kDefaultPreset = {"chebyshev", "linear", "adaptive", "carry", "f16"};
constexpr PresetRow kPaperPreset = {"taylor", "truncate", "uniform", "nearest", "bf16"};

Result<> ApplySeriesFlags(const ProtectFlags& flags, ProtectOptions& options) {
  options.paper = flags.preset == "paper";
  options.preset = flags.preset;
  const PresetRow& preset = options.paper ? kPaperPreset : kDefaultPreset;
  UNSWIFT_ASSIGN_OR_RETURN(options.basis, ParseBasis(flags.basis.value_or(preset.basis)));
  UNSWIFT_ASSIGN_OR_RETURN(options.guard, ParseGuard(flags.guard.value_or(preset.guard)));
  const bool truncates = options.guard == SeriesGuard::kTruncate;
  if (options.paper && (options.basis != SeriesBasis::kTaylor || !truncates)) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "[protect] --preset paper: expected the taylor basis as the paper has it");
  }
  if (!options.paper && truncates) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "[protect] --guard truncate belongs to --preset paper");
  }
  options.allocation = flags.allocation.value_or(preset.allocation) == "adaptive"
                           ? Allocation::kAdaptive
                           : Allocation::kUniform;
  // Without a guard nothing bounds the basis far out, and there is no carry to speak of.
  const char* rounding = options.guard == SeriesGuard::kNone ? "nearest" : preset.rounding;
  options.carry_rounding = flags.rounding.value_or(rounding) == "carry";
  if (options.paper && (options.carry_rounding || options.allocation == Allocation::kAdaptive)) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "[protect] --preset paper: expected uniform allocation and nearest rounding");
  }
  options.theta_dtype = *ParseDType(flags.dtype.value_or(preset.dtype));
  options.sign_flip = flags.sign_flip || options.paper;
  return {};
}

Result<ProtectOptions> OptionsOf(const ProtectFlags& flags, const ModelConfig& config) {
  ProtectOptions options;
  UNSWIFT_RETURN_IF_ERROR(ApplySeriesFlags(flags, options));
  options.slowdown = flags.slowdown;
  options.mean_order = flags.order;
  if (options.paper && !options.slowdown && !options.mean_order) options.mean_order = kPaperOrder;
  if (flags.units != "all") {
    UNSWIFT_ASSIGN_OR_RETURN(options.units_per_layer, ParseCount(flags.units, "--units"));
  } else if (options.paper) {
    options.units_per_layer = std::max<int64_t>(
        1, static_cast<int64_t>(kPaperUnitShare * static_cast<double>(config.intermediate_size)));
    if (IsQuantized(options.theta_dtype)) *options.units_per_layer &= -kQuantBlockSize;
  }
  if (!flags.layers.empty()) {
    UNSWIFT_ASSIGN_OR_RETURN(options.layers, ParseLayers(flags.layers));
  }
  options.seed = flags.seed;
  options.release_version = flags.release_version;
  options.recipient = flags.recipient;
  options.licence = flags.licence;
  options.expires = flags.expires;
  options.generator = std::string("unswift ") + kVersion;
  options.replace = flags.force;
  return options;
}

Result<ModelStatistics> StatisticsFor(CommandLine& line, const ProtectFlags& flags) {
  if (flags.calibration) return ReadStatistics(*flags.calibration);
  CalibrationFlags text = flags.text;
  text.options.seed = flags.seed;
  return CalibrateModel(line, flags.model, text);
}

/// A copy of the original that carries a recipient's marks, and goes with the object.
struct MarkedOriginal {
  ScratchDirectory directory;
  Model model;
  int64_t num_marks = 0;
};

/// The recipient is in the registry before the first marked weight exists. The copy lies beside the
/// release: where there is room for one there should be for the other.
Result<MarkedOriginal> MarkOriginal(CommandLine& line, const ProtectFlags& flags,
                                    const Model& original) {
  ForbidCoreDumps();
  const std::filesystem::path path = *flags.registry;
  UNSWIFT_ASSIGN_OR_RETURN(
      Registry registry, std::filesystem::exists(path) ? Registry::Read(path) : Registry::Create());
  UNSWIFT_ASSIGN_OR_RETURN(const size_t recipient, registry.FindOrAdd(flags.recipient));
  registry.set_original(std::filesystem::absolute(flags.model).string());
  UNSWIFT_RETURN_IF_ERROR(registry.Write(path));
  const std::filesystem::path beside =
      std::filesystem::absolute(std::filesystem::path(flags.output) / "..").lexically_normal();
  UNSWIFT_ASSIGN_OR_RETURN(ScratchDirectory directory, ScratchDirectory::Create(beside));
  UNSWIFT_ASSIGN_OR_RETURN(const int64_t num_marks,
                           MarkCheckpoint(flags.model, original, registry, recipient,
                                          directory.path(), line.pool(), line.progress()));
  UNSWIFT_ASSIGN_OR_RETURN(Model model, OpenOriginal(directory.path(), line.pool()));
  return MarkedOriginal{std::move(directory), std::move(model), num_marks};
}

/// Rounding orders to whole units moves a prediction by less than this.
constexpr double kNoticeableShare = 0.02;

void NoteUnreachedDefault(CommandLine& line, const ProtectReport& report) {
  if (report.predicted_slowdown > (1.0 - kNoticeableShare) * kDefaultSlowdown) return;
  line.Note(
      fmt::format("the default slowdown, {:g}x, is out of reach where MLPs are so small a part of "
                  "the model: this is the most, {:.2f}x",
                  kDefaultSlowdown, report.predicted_slowdown));
}

Result<ExitStatus> RunProtect(CommandLine& line, const ProtectFlags& flags) {
  const AnonymousPeak memory;
  const auto start = std::chrono::steady_clock::now();
  if (!flags.expires.empty()) UNSWIFT_RETURN_IF_ERROR(ParseDate(flags.expires, "--expires"));
  if (line.common().open.require_signature) {
    UNSWIFT_RETURN_IF_ERROR(OpenFilesForRun(line, flags.model));
  }
  UNSWIFT_ASSIGN_OR_RETURN(const Model original, OpenOriginal(flags.model, line.pool()));
  UNSWIFT_RETURN_IF_ERROR(CheckProtectTarget(flags.model, flags.output, flags.force));
  UNSWIFT_ASSIGN_OR_RETURN(const ProtectOptions options, OptionsOf(flags, original.config()));
  UNSWIFT_ASSIGN_OR_RETURN(const ModelStatistics statistics, StatisticsFor(line, flags));
  if (options.basis == SeriesBasis::kTaylor && options.theta_dtype != DType::kF32) {
    line.Note(
        "the terms of a Taylor series cancel: rounded to 16 bits or fewer, such a release rarely "
        "holds; see 'unswift verify', or take --basis chebyshev");
  }
  std::optional<MarkedOriginal> marked;
  if (flags.registry) {
    UNSWIFT_ASSIGN_OR_RETURN(MarkedOriginal made, MarkOriginal(line, flags, original));
    marked.emplace(std::move(made));
  }
  UNSWIFT_ASSIGN_OR_RETURN(
      const ProtectReport report,
      Protect(marked ? marked->directory.path() : std::filesystem::path(flags.model),
              marked ? marked->model : original, statistics, options, flags.output, line.pool(),
              line.progress()));
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!options.slowdown && !options.mean_order) NoteUnreachedDefault(line, report);
  if (line.common().json) {
    PrintJson({{"bytes", report.bytes},
               {"original_bytes", report.original_bytes},
               {"mean_order", report.mean_order},
               {"protected_units", report.protected_units},
               {"predicted_slowdown", report.predicted_slowdown},
               {"marks", marked ? marked->num_marks : 0},
               {"seconds", seconds},
               {"peak_anonymous_bytes", memory.bytes()}});
  } else {
    fmt::print(
        "{}: {} units protected, mean order {:.2f}, predicted slowdown {:.2f}x, {:.1f} MB "
        "(original {:.1f} MB), {:.1f} s\n",
        flags.output, report.protected_units, report.mean_order, report.predicted_slowdown,
        static_cast<double>(report.bytes) / 1e6, static_cast<double>(report.original_bytes) / 1e6,
        seconds);
  }
  return kDone;
}

void AddSeriesFlags(CLI::App* command, ProtectFlags& flags) {
  command
      ->add_option("--preset", flags.preset,
                   "default, or paper: the published scheme as its authors run it")
      ->check(CLI::IsMember({"default", "paper"}))
      ->capture_default_str();
  CLI::Option* slowdown = command->add_option(
      "--slowdown", flags.slowdown,
      "bytes read per token against the original's (default 4, or the most a model can have)");
  CLI::Option* order = command->add_option("--order", flags.order, "mean order, 1 to 32, instead");
  slowdown->excludes(order);
  command->add_option("--basis", flags.basis)->check(CLI::IsMember({"chebyshev", "taylor"}));
  command->add_option("--allocation", flags.allocation, "of orders to units")
      ->check(CLI::IsMember({"adaptive", "uniform"}));
  command
      ->add_option("--rounding", flags.rounding,
                   "carry hands each rounding error to the orders above")
      ->check(CLI::IsMember({"carry", "nearest"}));
  command
      ->add_option("--units", flags.units,
                   "per layer: all, or K with the smallest range of pre-activations")
      ->capture_default_str();
  command->add_option("--layers", flags.layers, "for example 0-3,7 (default: all)");
  command
      ->add_option(
          "--dtype", flags.dtype,
          "of theta: f16 (default), bf16, f32, q8_0 or q4_0; the other weights stay as they are")
      ->check(CLI::IsMember({"f16", "bf16", "f32", "q8_0", "q4_0"}));
  command->add_flag("--sign-flip", flags.sign_flip, "multiply each unit by a random sign");
  // Only tests turn the guard off: a release without it breaks on text unlike its calibration.
  command->add_option("--guard", flags.guard)
      ->check(CLI::IsMember({"linear", "none", "truncate"}))
      ->group("");
}

}  // namespace

void AddProtect(CommandLine& line) {
  auto flags = std::make_shared<ProtectFlags>();
  CLI::App* command = line.AddCommand("protect", "make a release: the same tokens, more slowly",
                                      [&line, flags] { return RunProtect(line, *flags); });
  AddModel(line, command, flags->model, "Hugging Face checkpoint");
  command->add_option("-o,--output", flags->output, "release directory to make")->required();
  command->add_option("--calibration", flags->calibration, "STATS.safetensors of 'calibrate'");
  AddCalibrationFlags(command, flags->text);
  AddSeriesFlags(command, *flags);
  CLI::Option* recipient = command->add_option("--recipient", flags->recipient,
                                               "written to the manifest, shown at load");
  command
      ->add_option(
          "--registry", flags->registry,
          "mark the weights for the recipient, so that 'trace' can name the source of a leak; "
          "keys are kept in this file (made when missing, mode 0600)")
      ->needs(recipient);
  command->add_option("--licence", flags->licence, "the same");
  command->add_option("--expires", flags->expires,
                      "the last day it asks to be run, for example 2027-01-31");
  command
      ->add_option("--release-version", flags->release_version,
                   "a number that counts up, so that --min-version can refuse older releases")
      ->check(CLI::PositiveNumber);
  command->add_option("--seed", flags->seed, "of calibration text and sign flips")
      ->capture_default_str();
  command->add_flag("--force", flags->force, "replace an existing directory");
}

}  // namespace unswift
