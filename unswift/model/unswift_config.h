// config.json of checkpoints that only readers of docs/release_format.md can run.
#pragma once

#include "unswift/io/json_fwd.h"

namespace unswift {

/// The original's config.json under a model_type that other loaders refuse instead of filling
/// weights that they miss with random numbers. section: what to add to its section "unswift".
Json UnswiftConfig(const Json& original, Json section);

}  // namespace unswift
