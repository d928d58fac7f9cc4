// Arguments of the series feature kernels.
#pragma once

#include <cstdint>

#include "unswift/ops/series_mlp.h"

namespace unswift {

/// Orders [first, last).
struct OrderRange {
  int64_t first = 0, last = 0;
};

}  // namespace unswift
