// All orders at once, with the sign test: w = Theta q, where q solves the least-squares problem in
// the metric that fits the release's rounding (each order's own size, or the function of z).
// Source: arXiv 2506.19874 and its code for Taylor series of known coefficients; generalised here.
#include "unswift/audit/attack.h"

namespace unswift {
namespace {

std::span<const float> Solve(BlockRecovery& recovery, std::span<UnitOutcome>) {
  return recovery.Project(
      [](const UnitModel& unit) -> const OrderValues& { return unit.least_squares(); });
}

}  // namespace

const Attack kLeastSquares = {.name = "least_squares", .game = "EXTRACT", .block = Solve};

}  // namespace unswift
