// The exact stored weights from rounded Theta. An original in bf16 or f16 is a grid, which fixes a
// unit's scale, and weights that are right tell how its orders err together; that gives the
// estimator of least variance, whatever rounding was used, and then the right neighbours on the
// grid. See BlockRecovery::ConsistentRounding.
#include "unswift/audit/attack.h"

namespace unswift {
namespace {

std::span<const float> Round(BlockRecovery& recovery, std::span<UnitOutcome> outcome) {
  return recovery.ConsistentRounding(outcome);
}

}  // namespace

const Attack kConsistentRounding = {
    .name = "consistent_rounding", .game = "EXTRACT", .block = Round};

}  // namespace unswift
