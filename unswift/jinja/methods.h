// Which methods the sandbox lets templates see.
#pragma once

#include <string_view>

#include "unswift/jinja/value.h"

namespace unswift::jinja {

/// Methods of strings, lists, tuples, dicts and loops. Methods that would change a list or dict
/// are hidden, as in Jinja's immutable sandbox.
bool HasMethod(const Value& object, std::string_view name);

}  // namespace unswift::jinja
