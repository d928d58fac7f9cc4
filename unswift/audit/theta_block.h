// Sixteen protected units of a layer as the attacks read them: every order, every row, as float32.
#pragma once

#include <cstdint>
#include <span>

#include "unswift/model/model.h"
#include "unswift/ops/aligned_buffer.h"
#include "unswift/ops/series_mlp.h"

namespace unswift {

/// Units side by side in memory, one per SIMD lane.
inline constexpr int kAuditLanes = 16;
/// Orders 0 .. 32.
inline constexpr int kAuditOrders = 33;

/// theta[row][order][lane]; lanes beyond num_units and orders that a unit does not have are 0.
struct ThetaBlock {
  int64_t first_unit = 0;
  int num_units = 0;
  int first_order = 0;
  int num_orders = 0;  ///< stored ones: first_order .. first_order + num_orders - 1
  int64_t rows = 0;    ///< hidden_size
  const float* values = nullptr;

  const float* at(int64_t row) const { return values + row * num_orders * kAuditLanes; }
  int max_order() const { return first_order + num_orders - 1; }
};

/// Columns [column, column + out.size()) of one row of theta, widened; the one place where the
/// attacks read the stored numbers, whatever their type.
void ReadThetaColumns(const MatrixView& theta, int64_t row, int64_t column, std::span<float> out);

/// Where the orders of neighbouring blocks stand in a row of theta.
struct ThetaColumns {
  int num_orders = 0, num_blocks = 0;
  int64_t first[kAuditOrders] = {};  ///< column of the first unit
  int64_t count[kAuditOrders] = {};  ///< units that have the order; the first ones
};

/// Buffers of one thread: reads neighbouring blocks together, so that a row's bytes are used whole.
class ThetaReader {
 public:
  /// Blocks that are read at once.
  static constexpr int kBlocks = 4;
  static constexpr int kUnits = kBlocks * kAuditLanes;

  explicit ThetaReader(const SeriesWeights& series);
  /// Reads the units [first_unit, first_unit + kUnits) (fewer at the end); the blocks stay valid
  /// until the next call. Cost: streams those columns of theta once.
  std::span<const ThetaBlock> Read(int64_t first_unit);

 private:
  /// Block-quantised theta, whose blocks of 32 columns do not begin with ours.
  void ReadPacked(const ThetaColumns& columns, float* out);

  const SeriesWeights& series_;
  std::vector<int64_t> column_;  // [max_order + 1], first column of each order
  AlignedBuffer buffer_;
  ThetaBlock blocks_[kBlocks];
};

}  // namespace unswift
