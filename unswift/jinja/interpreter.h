// Runs a parsed template.
#pragma once

#include <string>

#include "unswift/jinja/runtime.h"
#include "unswift/jinja/syntax.h"

namespace unswift::jinja {

/// Errors open with "line N: ".
Result<std::string> RunTemplate(const Block& block, const Dict& variables, Runtime& runtime);

}  // namespace unswift::jinja
