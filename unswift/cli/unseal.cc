#include "unswift/provenance/unseal.h"

#include <fmt/core.h>

#include "unswift/cli/command_line.h"
#include "unswift/provenance/secret_memory.h"

namespace unswift {
namespace {

struct UnsealOptions {
  std::string file, key, output;
  bool force = false;
};

Result<ExitStatus> RunUnseal(CommandLine& line, const UnsealOptions& options) {
  ForbidCoreDumps();
  UNSWIFT_ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::Read(options.key, KeyType::kSealing));
  UNSWIFT_ASSIGN_OR_RETURN(const UnsealReport report,
                           UnsealToDirectory(options.file, key, options.output, options.force,
                                             line.pool(), line.progress()));
  if (line.common().json) {
    PrintJson({{"files", report.files}, {"bytes", report.payload_bytes}});
  } else {
    fmt::print("{}: {} files, {:.1f} MB\n", options.output, report.files,
               static_cast<double>(report.payload_bytes) / 1e6);
  }
  return kDone;
}

}  // namespace

void AddUnseal(CommandLine& line) {
  auto options = std::make_shared<UnsealOptions>();
  CLI::App* command = line.AddCommand("unseal", "decrypt a sealed file to a directory",
                                      [&line, options] { return RunUnseal(line, *options); });
  command->add_option("FILE", options->file, "sealed file")->required();
  command->add_option("--key", options->key, "private key of one recipient")->required();
  command->add_option("-o,--output", options->output, "directory to make")->required();
  command->add_flag("--force", options->force, "replace an existing directory");
}

}  // namespace unswift
