// Json's name without its 25,000 lines: for headers that only pass it on.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace unswift {

using Json = nlohmann::json;
/// Objects keep the order of their members: for documents whose text a model will see.
using OrderedJson = nlohmann::ordered_json;

}  // namespace unswift
