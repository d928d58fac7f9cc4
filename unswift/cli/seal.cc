#include "unswift/provenance/seal.h"

#include <fmt/core.h>

#include "unswift/cli/command_line.h"

namespace unswift {
namespace {

struct SealFlags {
  std::string model, output, cipher = "auto";
  std::vector<std::string> recipients;
  bool force = false;
};

Result<ExitStatus> RunSeal(CommandLine& line, const SealFlags& flags) {
  SealOptions options;
  if (flags.cipher != "auto") {
    UNSWIFT_ASSIGN_OR_RETURN(options.cipher, ParseSealCipher(flags.cipher));
  }
  options.replace = flags.force;
  std::vector<PublicKey> recipients;
  for (const std::string& path : flags.recipients) {
    UNSWIFT_ASSIGN_OR_RETURN(PublicKey key, PublicKey::Read(path, KeyType::kSealing));
    recipients.push_back(std::move(key));
  }
  // A damaged or unwanted release is not worth sending.
  UNSWIFT_ASSIGN_OR_RETURN(const OpenedFiles opened, OpenFilesForRun(line, flags.model));
  UNSWIFT_ASSIGN_OR_RETURN(
      const SealReport report,
      Seal(opened.files, recipients, options, flags.output, line.pool(), line.progress()));
  if (line.common().json) {
    Json ids = Json::array();
    for (const PublicKey& key : recipients) ids.push_back(key.id());
    PrintJson({{"files", report.files},
               {"bytes", report.sealed_bytes},
               {"cipher", SealCipherName(options.cipher)},
               {"recipients", std::move(ids)}});
  } else {
    fmt::print("{}: {} files, {:.1f} MB, {}, for {} recipient{}\n", flags.output, report.files,
               static_cast<double>(report.sealed_bytes) / 1e6, SealCipherName(options.cipher),
               recipients.size(), recipients.size() == 1 ? "" : "s");
  }
  return kDone;
}

}  // namespace

void AddSeal(CommandLine& line) {
  auto flags = std::make_shared<SealFlags>();
  CLI::App* command = line.AddCommand("seal", "encrypt a release to its recipients, as one file",
                                      [&line, flags] { return RunSeal(line, *flags); });
  AddModel(line, command, flags->model, "release or other model directory");
  command->add_option("--to", flags->recipients, "a recipient's public sealing key (repeatable)")
      ->required()
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("-o,--output", flags->output, "sealed file to write")->required();
  command
      ->add_option("--cipher", flags->cipher,
                   "auto (by this CPU), aes-256-gcm or xchacha20-poly1305")
      ->capture_default_str();
  command->add_flag("--force", flags->force, "replace an existing file");
}

}  // namespace unswift
