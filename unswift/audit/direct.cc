// Divide one order's columns by their coefficient.
//
// The lowest stored order is taken: carry rounding hands errors upwards only, so that order is the
// plainly rounded product of weight and coefficient. The coefficient is known in closed form for a
// Taylor expansion, and up to a factor from the orders themselves for any other fit; the activation
// gives the factor. Source: arXiv 2410.05331 eq. 4 read backwards.
#include "unswift/audit/attack.h"

namespace unswift {
namespace {

std::span<const float> Divide(BlockRecovery& recovery, std::span<UnitOutcome>) {
  return recovery.Project([](const UnitModel& unit) {
    OrderValues q{};
    q[0] = unit.c[0] != 0.0 ? 1.0 / unit.c[0] : 0.0;
    return q;
  });
}

}  // namespace

const Attack kDirect = {.name = "direct", .game = "EXTRACT", .block = Divide};

}  // namespace unswift
