// Arguments of the Theta kernels.
#pragma once

#include <cstddef>
#include <cstdint>

#include "unswift/tensor/dtype.h"

namespace unswift {

/// Units that one kernel call works on, one per SIMD lane.
inline constexpr int kThetaLanes = 16;
/// Rows of D that share one pass over a block's tables.
inline constexpr int kThetaRows = 8;
/// Orders 0 .. 32.
inline constexpr int kMostOrders = 33;

/// One block of units and a few rows of D.
struct ThetaTask {
  DType dtype = DType::kF32;
  int first_order = 0;
  int max_order = 0;                    ///< of the block
  const float* coefficients = nullptr;  ///< [max_order + 1, 16]
  /// U[m, n] of the block for n = first_order + 1 .. max_order and m = first_order .. n - 1, in
  /// this order, 16 lanes each; null = plain rounding.
  const float* carry = nullptr;
  const float* down[kThetaRows] = {};  ///< 16 values each
  std::byte* out[kThetaRows] = {};     ///< the rows of Theta
  int rows = 0;                        ///< used rows; the others repeat a used one
  const int64_t* column = nullptr;     ///< [max_order + 1], first element to write of each order
  const int* lanes = nullptr;          ///< [max_order + 1], units of the block that have the order
};

/// Units of a quantised block, and rows of a packed group (tensor/packed.h).
inline constexpr int kThetaBlockUnits = 32;
inline constexpr int kThetaGroupRows = 16;

/// One order of 16 units and 16 rows of D, before it is rounded: quantised types, whose scales need
/// all values of a block first. Rows of `values` and `lost` are kThetaBlockUnits floats apart.
struct ThetaValuesTask {
  const float* coefficients = nullptr;      ///< [16]
  const float* carry = nullptr;             ///< U[m, n] for the lower orders m, 16 lanes each
  const float* down[kThetaGroupRows] = {};  ///< 16 values each
  const float* lost = nullptr;              ///< per lower order, what its 16 rows lost
  int lower_orders = 0;                     ///< 0 = plain rounding
  float* values = nullptr;                  ///< out: 16 rows
};

}  // namespace unswift
