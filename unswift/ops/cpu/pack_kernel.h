// What the packing kernels return.
#pragma once

namespace unswift {

struct PackSums {
  double error = 0.0, total = 0.0;  ///< as ConversionLoss
};

}  // namespace unswift
