// `verify REL`: the files of a release against its manifest and its signature.
#pragma once

#include <string>

#include "unswift/cli/command_line.h"

namespace unswift {

/// Prints what holds. The signature is judged when the flags name a public key.
Result<ExitStatus> VerifyFiles(CommandLine& line, const std::string& release);

}  // namespace unswift
