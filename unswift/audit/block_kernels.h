// Passes over the rows of a block of sixteen units; each lane is a unit of its own. Sums are in
// double (RelativeSlopes: float32 within 64 rows).
#pragma once

#include "unswift/audit/theta_block.h"

namespace unswift {

/// One number per unit of a block.
using LaneDoubles = double[kAuditLanes];
using LaneFloats = float[kAuditLanes];

/// Reads neighbouring blocks of f32, f16 or bf16 theta: out[block][row][order][16], zeros where a
/// unit or an order is missing.
void WidenBlocks(const MatrixView& theta, const ThetaColumns& columns, float* out);

/// gram[n][m] += sum_i theta[i][n] theta[i][m] for m <= n (stored orders), gram zeroed first.
void GramOfOrders(const ThetaBlock& block, LaneDoubles (*gram)[kAuditOrders]);

/// w[i] = sum_n theta[i][n] q[n]. Shapes: q [num_orders][16]; w [rows][16].
void ProjectRows(const ThetaBlock& block, const LaneDoubles* q, float* w);

/// slope[n] = mean of theta[i][n] / w[i] over the rows with |w[i]| > floor, and their number, for
/// the first `orders` stored ones; 0 without such rows. Shapes: w [rows][16]; slope [orders][16].
void RelativeSlopes(const ThetaBlock& block, int orders, const float* w, const LaneFloats& floor,
                    LaneDoubles& rows, LaneDoubles* slope);

/// With rows weighted by 1 / w[i]^2 (rows with |w[i]| <= floor take no part):
/// slope as of RelativeSlopes, all orders, and gram[n][m] = mean of the products of the residuals
/// theta[i][n] / w[i] - slope[n], m <= n. Shapes: w [rows][16]; floor [16].
void RelativeResiduals(const ThetaBlock& block, const float* w, const LaneFloats& floor,
                       LaneDoubles* slope, LaneDoubles (*gram)[kAuditOrders]);

/// How a unit's orders err. Of rest[n] = theta[n] - slope[n] w, each order's own rounding error is
/// own[n] = rest[n] + sum_{k < n} weight[n][k] rest[k]; a change of w changes it by -response[n].
struct OrderPrediction {
  alignas(64) LaneFloats slope[kAuditOrders] = {};
  alignas(64) LaneFloats response[kAuditOrders] = {};
  /// 1 / (root mean square of own[n] / w). Where an order is hardly more than what it was handed,
  /// its steps vary by thousands, and small ones are below what a prediction can tell.
  alignas(64) LaneFloats inverse_noise[kAuditOrders] = {};
  alignas(64) LaneFloats weight[kAuditOrders][kAuditOrders] = {};
};

/// Explicit mantissa bits of the two storage types (f16 or bf16).
struct MantissaWidths {
  int theta = 7, weight = 7;
};

/// square[n] = mean of the squared rounding errors of theta[i][n] / w[i], those of a number being
/// even over its step; rows with |w[i]| <= floor take no part. Shapes: w [rows][16].
void RelativeRounding(const ThetaBlock& block, int theta_bits, const float* w,
                      const LaneFloats& floor, LaneDoubles* square);

/// doubtful[i] = 1 where for some unit theta[i] of the lowest order might not be c w[i], rounded;
/// 0 where that is certain for all. Shapes: w [rows][16]; doubtful [rows].
void FindDoubtfulRows(const ThetaBlock& block, int theta_bits, const LaneDoubles& c, const float* w,
                      uint8_t* doubtful);

/// Coefficients around a centre: place p in [1, places] is centre + (p - 1 - places / 2) centre /
/// places_per_unit, and 0 and places + 1 are all below and above.
struct CoefficientGrid {
  int places = 1;
  float places_per_unit = 1.0f;
  alignas(64) LaneFloats centre;
};

/// The places [first[i], last[i]) whose c could be the one of theta[i] = round(c w[i]) in the
/// lowest order; first[i] = -1 where the row cannot tell. Shapes: w, first, last [rows][16].
void AgreeingCoefficients(const ThetaBlock& block, int theta_bits, const float* w,
                          const CoefficientGrid& grid, int32_t* first, int32_t* last);

/// Moves each weight by at most one step of its type's grid, to the value with which the orders'
/// own errors exceed their rounding least; of equals, the one nearest to the estimate. excess: what
/// is left, the sum over orders of the squared excess in half steps.
/// Shapes: estimate, w, excess [rows][16].
void ChooseConsistent(const ThetaBlock& block, const OrderPrediction& prediction,
                      const MantissaWidths& bits, const float* estimate, float* w, float* excess);

/// What ScanGrid looks for, per unit.
struct GridScan {
  int mantissa_bits = 7;             ///< explicit ones: bf16 7, f16 10
  int64_t rows = 0, row_stride = 1;  ///< every row_stride-th row is looked at, `rows` of them
  int steps = 1;
  alignas(64) LaneFloats from;     ///< the first scale
  alignas(64) LaneFloats ratio;    ///< of a scale to the one before
  alignas(64) LaneFloats penalty;  ///< added to a score, times log(scale)^2: trust in scale 1
};

/// How well w / scale fits a floating-point grid: score = mean squared distance to the grid in
/// units of its step (1/12 for numbers that know nothing of it). Keeps each lane's scale of the
/// least score + penalty, and its score. Shapes: w [rows * row_stride][16].
void ScanForGrid(const float* w, const GridScan& scan, LaneFloats& best_scale,
                 LaneFloats& best_score);

/// sum[i] = sum_b weight[b] rows[b * stride + i], rows of weight 0 skipped; in float32.
void SumOfRows(const float* rows, int64_t stride, std::span<const float> weight,
               std::span<float> sum);

/// sum_i weight[i] log(value[i]), values positive; logarithms in float32, within a few of its
/// steps.
double WeightedLogs(std::span<const float> weight, std::span<const float> value);

}  // namespace unswift
