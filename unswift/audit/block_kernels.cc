#include "unswift/audit/block_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unswift/audit/block_kernels.cc"
#include "hwy/foreach_target.h"
#include "unswift/audit/block_kernels-inl.h"

#if HWY_ONCE
namespace unswift {
HWY_EXPORT(AgreeingCoefficients);
HWY_EXPORT(ChooseConsistent);
HWY_EXPORT(FindDoubtfulRows);
HWY_EXPORT(GramOfOrders);
HWY_EXPORT(ProjectRows);
HWY_EXPORT(RelativeResiduals);
HWY_EXPORT(RelativeRounding);
HWY_EXPORT(RelativeSlopes);
HWY_EXPORT(ScanForGrid);
HWY_EXPORT(SumOfRows);
HWY_EXPORT(WeightedLogs);
HWY_EXPORT(WidenBlocks);

void WidenBlocks(const MatrixView& theta, const ThetaColumns& columns, float* out) {
  HWY_DYNAMIC_DISPATCH(WidenBlocks)(theta, columns, out);
}

void GramOfOrders(const ThetaBlock& block, LaneDoubles (*gram)[kAuditOrders]) {
  HWY_DYNAMIC_DISPATCH(GramOfOrders)(block, gram);
}

void ProjectRows(const ThetaBlock& block, const LaneDoubles* q, float* w) {
  HWY_DYNAMIC_DISPATCH(ProjectRows)(block, q, w);
}

void RelativeSlopes(const ThetaBlock& block, int orders, const float* w, const LaneFloats& floor,
                    LaneDoubles& rows, LaneDoubles* slope) {
  HWY_DYNAMIC_DISPATCH(RelativeSlopes)(block, orders, w, floor, rows, slope);
}

void RelativeResiduals(const ThetaBlock& block, const float* w, const LaneFloats& floor,
                       LaneDoubles* slope, LaneDoubles (*gram)[kAuditOrders]) {
  HWY_DYNAMIC_DISPATCH(RelativeResiduals)(block, w, floor, slope, gram);
}

void RelativeRounding(const ThetaBlock& block, int theta_bits, const float* w,
                      const LaneFloats& floor, LaneDoubles* square) {
  HWY_DYNAMIC_DISPATCH(RelativeRounding)(block, theta_bits, w, floor, square);
}

void FindDoubtfulRows(const ThetaBlock& block, int theta_bits, const LaneDoubles& c, const float* w,
                      uint8_t* doubtful) {
  HWY_DYNAMIC_DISPATCH(FindDoubtfulRows)(block, theta_bits, c, w, doubtful);
}

void AgreeingCoefficients(const ThetaBlock& block, int theta_bits, const float* w,
                          const CoefficientGrid& grid, int32_t* first, int32_t* last) {
  HWY_DYNAMIC_DISPATCH(AgreeingCoefficients)(block, theta_bits, w, grid, first, last);
}

void ChooseConsistent(const ThetaBlock& block, const OrderPrediction& prediction,
                      const MantissaWidths& bits, const float* estimate, float* w, float* excess) {
  HWY_DYNAMIC_DISPATCH(ChooseConsistent)(block, prediction, bits, estimate, w, excess);
}

void ScanForGrid(const float* w, const GridScan& scan, LaneFloats& best_scale,
                 LaneFloats& best_score) {
  HWY_DYNAMIC_DISPATCH(ScanForGrid)(w, scan, best_scale, best_score);
}

void SumOfRows(const float* rows, int64_t stride, std::span<const float> weight,
               std::span<float> sum) {
  HWY_DYNAMIC_DISPATCH(SumOfRows)(rows, stride, weight, sum);
}

double WeightedLogs(std::span<const float> weight, std::span<const float> value) {
  return HWY_DYNAMIC_DISPATCH(WeightedLogs)(weight, value);
}

}  // namespace unswift
#endif  // HWY_ONCE
