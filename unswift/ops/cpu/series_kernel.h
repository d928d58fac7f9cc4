// Arguments of the series feature kernels.
#pragma once

#include <cstdint>

#include "unswift/ops/series_mlp.h"

namespace unswift {

/// One row of the order-by-order form. All arrays of num_units floats.
struct SeriesOrderRow {
  const float* z = nullptr;
  const float* u = nullptr;   ///< or null
  float* previous = nullptr;  ///< p_{n-1} of the recurrence; becomes p_n
  float* current = nullptr;   ///< p_n of the recurrence; becomes p_{n+1}
  float* feature = nullptr;   ///< out: feature of order n
};

}  // namespace unswift
