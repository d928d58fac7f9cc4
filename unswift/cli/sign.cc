#include <fmt/core.h>

#include "unswift/cli/command_line.h"
#include "unswift/provenance/key.h"
#include "unswift/provenance/secret_memory.h"
#include "unswift/release/reader/signature.h"

namespace unswift {
namespace {

struct SignOptions {
  std::string model, key;
  bool force = false;
};

Result<ExitStatus> RunSign(CommandLine& line, const SignOptions& options) {
  ForbidCoreDumps();
  UNSWIFT_ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::Read(options.key, KeyType::kSigning));
  UNSWIFT_ASSIGN_OR_RETURN(const std::vector<ManifestFile> files,
                           SignModel(options.model, key, options.force, line.pool()));
  if (line.common().json) {
    PrintJson({{"files", files.size()},
               {"key_id", key.public_key().id()},
               {"signature", kSignatureName}});
  } else {
    fmt::print("{} files of {} signed by key {}\n", files.size(), options.model,
               key.public_key().id());
  }
  return kDone;
}

}  // namespace

void AddSign(CommandLine& line) {
  auto options = std::make_shared<SignOptions>();
  CLI::App* command =
      line.AddCommand("sign", "sign every file of a release (OpenSSF model signing)",
                      [&line, options] { return RunSign(line, *options); });
  command->add_option("REL", options->model, "release or other model directory")->required();
  command->add_option("--key", options->key, "private key of 'keygen'")->required();
  command->add_flag("--force", options->force, "replace an existing signature");
}

}  // namespace unswift
