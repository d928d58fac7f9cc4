// Block-quantised Theta (q8_0, q4_0): an order's error is a share of its block's scale, the same
// for large and small entries. Orders are weighted by what they miss absolutely, which the rows
// tell: least squares reweighted by each order's own residual (UnitModel::by_error).
#include "unswift/audit/attack.h"

namespace unswift {
namespace {

std::span<const float> Solve(BlockRecovery& recovery, std::span<UnitOutcome>) {
  return recovery.Project(
      [](const UnitModel& unit) -> const OrderValues& { return unit.by_error; });
}

}  // namespace

const Attack kQuantized = {
    .name = "quantized", .game = "EXTRACT", .block = Solve, .quantized_only = true};

}  // namespace unswift
