// One vector per unit of a block, w = Theta q.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "unswift/audit/unit_model.h"

namespace unswift {

/// q of each unit of a block; zeros give zeros.
using BlockVectors = std::array<OrderValues, kAuditLanes>;

/// Working memory of one thread.
class BlockProjection {
 public:
  /// w [rows][16]; valid until the next call.
  std::span<float> Project(const ThetaBlock& block, const BlockVectors& q) {
    for (int lane = 0; lane < kAuditLanes; ++lane) {
      for (int n = 0; n < block.num_orders; ++n) weights_[n][lane] = q[lane][n];
    }
    w_.resize(block.rows * kAuditLanes);
    ProjectRows(block, weights_, w_.data());
    return w_;
  }

 private:
  alignas(64) LaneDoubles weights_[kAuditOrders] = {};
  std::vector<float> w_;
};

}  // namespace unswift
