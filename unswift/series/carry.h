// Carry rounding: storing Theta in a short type without the loss that plain rounding costs.
//
// The N + 1 numbers of one entry D[i, j] are redundant: what rounding Theta_n loses is handed to
// the orders above it, weighted by the projection of p_n on them. Source: docs/equations.md,
// "Carry".
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "hwy/aligned_allocator.h"
#include "unswift/base/result.h"
#include "unswift/base/thread_pool.h"
#include "unswift/series/fit.h"
#include "unswift/tensor/dtype.h"
#include "unswift/tensor/rows.h"

namespace unswift {

struct ThetaTask;

/// Projections of all units of a fit, each an upper triangle without diagonal, packed by rows.
struct SeriesCarry {
  std::vector<int32_t> orders;  ///< [units]
  std::vector<int64_t> offset;  ///< [units + 1]
  std::vector<float> packed;

  /// U[n, k], 0 <= n < k <= order, of unit i.
  float at(int64_t i, int n, int k) const {
    return packed[offset[i] + n * orders[i] - n * (n - 1) / 2 + (k - n - 1)];
  }
};

/// The carry matrices of a fit made by FitCoefficients with the same statistics, options and bias,
/// before any FlipSigns. Errors: as FitCoefficients; kInvalidArgument when the guard is not kLinear
/// (without it far points would outweigh all others).
Result<SeriesCarry> MakeCarry(const LayerStatistics& statistics, const FitOptions& options,
                              const SeriesFit& fit, std::span<const double> bias, ThreadPool& pool);

/// What FlipSigns does to a fit, to its carry matrices: U[n, k] -> sign^(n + k) U[n, k].
void FlipSigns(SeriesCarry& carry, std::span<const int8_t> sign);

/// Makes rows of Theta, the wide down projection: columns as SeriesFeatures lays them out, order by
/// order from first_order on, each order's units in the fit's order.
class ThetaMaker {
 public:
  /// carry null = plain rounding to nearest. dtype f16, bf16, f32 (carry is not used), q8_0 or
  /// q4_0; of quantised types each order has a multiple of 32 units (EqualiseOrders). Copies what
  /// it needs, in blocks of 16 units.
  ThetaMaker(const SeriesFit& fit, const SeriesCarry* carry, DType dtype, int first_order);

  int64_t num_units() const { return num_units_; }
  int64_t num_features() const { return num_features_; }
  /// What SeriesUnits::units_of_order must be.
  const std::vector<int64_t>& units_of_order() const { return units_of_order_; }

  /// Writes some rows of Theta. Thread-safe; a batch of 8 or more rows is faster than single rows.
  /// Shapes: down [m, num_units] f32, columns in the fit's order (not the layer's); out m rows of
  ///   num_features() elements of dtype, row_bytes apart; quantised: packed groups of 16 rows
  ///   (tensor/packed.h), 16 row_bytes apart.
  /// Accumulates in: float32.
  /// Errors: kInvalidData when an entry overflows the type or D is not finite (names the unit's
  /// index
  ///   in the fit, the row of the batch and the order).
  /// Cost: about sum_j (N_j + 1) N_j / 2 FMAs per row.
  Result<> MakeRows(ConstRows down, std::byte* out, int64_t row_bytes) const;

  /// sum_j D[i, j] a_j0: what first_order = 1 moves to the output bias. down [num_units].
  double ConstantTerm(std::span<const float> down) const;

 private:
  void LayOutColumns(const SeriesFit& fit);
  void FillTables(const SeriesFit& fit, const SeriesCarry* carry, int64_t block);
  Result<> MakeBlock(int64_t block, int64_t first_row, ConstRows down, std::byte* out,
                     int64_t row_bytes) const;
  Result<> MakePackedGroup(ConstRows down, std::byte* group) const;
  /// Stores 16 rows x 32 units of one order; `values` become what that lost.
  Result<> QuantiseTile(float* values, int64_t unit, int order, std::byte* tile) const;
  Result<> OverflowError(int64_t block, const ThetaTask& task, int64_t row) const;

  int64_t num_units_ = 0, num_features_ = 0;
  DType dtype_ = DType::kF32;
  int first_order_ = 0;
  bool use_carry_ = false;
  std::vector<int64_t> units_of_order_;
  std::vector<int64_t> column_;        // [max_order + 1], first column of each order
  std::vector<double> constant_;       // [num_units], a_j0
  std::vector<int64_t> block_offset_;  // [blocks + 1], into tables_
  std::vector<int32_t> block_order_;   // [blocks], largest order of the block
  // Per block: a[n][16], then the carry triangle in the order of ThetaTask::carry, 64-byte aligned.
  hwy::AlignedFreeUniquePtr<float[]> tables_;
};

/// Rounds values in place to what a storage type can hold; called with all lanes of one order.
using RoundValues = std::function<void(std::span<float>)>;

/// The generic, slow form for any storage type, block-quantised ones included. A lane is one entry
/// of D: the units of one row, or rows of one unit. At each order the lanes whose unit has it are
/// handed to `round` together, in lane order, as their current values. Shapes: down, unit_of_lane
/// [lanes] (indices into the fit); returns theta[n][lane], zero where the
///   unit has no order n. carry null = plain rounding.
std::vector<std::vector<float>> RoundLanes(const SeriesFit& fit, const SeriesCarry* carry,
                                           std::span<const float> down,
                                           std::span<const int64_t> unit_of_lane, int first_order,
                                           const RoundValues& round);

/// Rounds to dtype and back (the last one padded with zeros).
RoundValues RoundToDType(DType dtype);

}  // namespace unswift
