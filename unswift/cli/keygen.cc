#include <fmt/core.h>

#include "unswift/cli/command_line.h"
#include "unswift/provenance/key.h"
#include "unswift/provenance/secret_memory.h"

namespace unswift {
namespace {

struct KeygenOptions {
  std::string output, type = "signing";
  bool force = false;
};

Result<ExitStatus> RunKeygen(CommandLine& line, const KeygenOptions& options) {
  ForbidCoreDumps();
  const KeyType type = options.type == "signing" ? KeyType::kSigning : KeyType::kSealing;
  UNSWIFT_ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::Generate(type));
  UNSWIFT_RETURN_IF_ERROR(WriteKeyPair(key, options.output, options.force));
  const std::string public_file = options.output + ".pub";
  if (line.common().json) {
    PrintJson({{"type", options.type},
               {"key_id", key.public_key().id()},
               {"private_key_file", options.output},
               {"public_key_file", public_file}});
  } else {
    fmt::print("{} key {}\n  {}: keep it\n  {}: hand it out\n", options.type, key.public_key().id(),
               options.output, public_file);
  }
  return kDone;
}

}  // namespace

void AddKeygen(CommandLine& line) {
  auto options = std::make_shared<KeygenOptions>();
  CLI::App* command =
      line.AddCommand("keygen", "make a key pair to sign or to open sealed files with",
                      [&line, options] { return RunKeygen(line, *options); });
  command->add_option("-o,--output", options->output, "private key to write; the public one: .pub")
      ->required();
  command
      ->add_option("--type", options->type,
                   "signing: of whoever makes releases; sealing: of a recipient")
      ->check(CLI::IsMember({"signing", "sealing"}))
      ->capture_default_str();
  command->add_flag("--force", options->force, "replace existing files");
}

}  // namespace unswift
