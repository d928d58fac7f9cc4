#include <fmt/core.h>

#include "unswift/cli/command_line.h"
#include "unswift/model/gguf_import.h"

namespace unswift {
namespace {

struct ImportOptions {
  std::string file, output, dtype = "bf16";
  bool force = false;
};

Result<ExitStatus> RunImport(CommandLine& line, const ImportOptions& options) {
  UNSWIFT_ASSIGN_OR_RETURN(
      const GgufImportReport report,
      ImportGguf(options.file, options.output, *ParseDType(options.dtype), options.force,
                 [progress = line.progress()](int64_t done, int64_t total) {
                   Report(progress, "import",
                          static_cast<double>(done) / static_cast<double>(total));
                 }));
  if (line.common().json) {
    PrintJson({{"tensors", report.num_tensors},
               {"architecture", report.architecture},
               {"bytes", report.bytes},
               {"dtype", options.dtype},
               {"relative_rms_error", report.loss.relative_rms()}});
  } else {
    fmt::print("{}: {}, {} tensors, {:.1f} MB as {} (relative RMS error {:.2e})\n", options.output,
               report.architecture, report.num_tensors, static_cast<double>(report.bytes) / 1e6,
               options.dtype, report.loss.relative_rms());
  }
  return kDone;
}

}  // namespace

void AddImport(CommandLine& line) {
  auto options = std::make_shared<ImportOptions>();
  CLI::App* command = line.AddCommand("import", "turn a GGUF file into a Hugging Face directory",
                                      [&line, options] { return RunImport(line, *options); });
  command->add_option("FILE", options->file, "a .gguf file")->required();
  command->add_option("-o,--output", options->output, "directory to make")->required();
  command
      ->add_option("--dtype", options->dtype, "type of the weights: bf16, f16, f32, q8_0 or q4_0")
      ->check(CLI::IsMember({"bf16", "f16", "f32", "q8_0", "q4_0"}))
      ->capture_default_str();
  command->add_flag("--force", options->force, "replace an existing directory");
}

}  // namespace unswift
