// Activation and coefficients unknown: factorise. Every unit's Theta is one column times one row of
// coefficients, so its leading factor is the column up to a factor, whatever function the release
// evaluates; a runtime that evaluates it is all that is needed for the metric. Enough to collapse
// the release to a matrix of the original's size and a scalar function per unit.
#include "unswift/audit/attack.h"

namespace unswift {
namespace {

std::span<const float> Factorise(BlockRecovery& recovery, std::span<UnitOutcome>) {
  return recovery.Project(
      [](const UnitModel& unit) -> const OrderValues& { return unit.functional; });
}

}  // namespace

const Attack kRank1 = {.name = "rank1", .game = "EXTRACT", .block = Factorise, .scale_free = true};

}  // namespace unswift
