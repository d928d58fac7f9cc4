#include "unswift/audit/block_recovery.h"

#include <algorithm>

namespace unswift {
namespace {

// What is learned from the rows is no better for more of them.
constexpr int64_t kSampleRows = 576;

}  // namespace

BlockRecovery::BlockRecovery(const LayerFacts& facts)
    : facts_(facts),
      gram_(std::make_unique<LaneDoubles[][kAuditOrders]>(kAuditOrders)),
      rounding_(facts) {}

void BlockRecovery::TakeSample() {
  sample_ = *block_;
  const int64_t step = block_->rows / kSampleRows;
  if (step < 2) return;
  sample_.rows = block_->rows / step;
  const int64_t row = static_cast<int64_t>(block_->num_orders) * kAuditLanes;
  float* const values = sample_values_.Get(sample_.rows * row);
  for (int64_t i = 0; i < sample_.rows; ++i) {
    std::copy_n(block_->at(i * step), row, values + i * row);
  }
  sample_.values = values;
}

void BlockRecovery::Start(const ThetaBlock& block) {
  block_ = &block;
  TakeSample();
  GramOfOrders(sample_, gram_.get());
  for (int lane = 0; lane < kAuditLanes; ++lane) {
    units_[lane] = lane < block.num_units
                       ? ModelOfUnit(facts_, block.first_unit + lane, gram_.get(), lane)
                       : UnitModel();
  }
}

std::span<const float> BlockRecovery::ConsistentRounding(std::span<UnitOutcome> outcome) {
  return rounding_.Round(*block_, sample_, units_, outcome);
}

}  // namespace unswift
