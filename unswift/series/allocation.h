// How many orders each unit gets.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "unswift/base/result.h"

namespace unswift {

/// sum of orders that a mean order stands for: mean_order * num_units, rounded.
int64_t OrderBudget(double mean_order, int64_t num_units);

/// Minimises sum_j errors[j, N_j] * weights[j] over orders min_order <= N_j <= max_order whose sum
/// is `budget` (clamped to what the limits allow): greedy on each unit's lower convex hull,
/// steepest step first, ties by unit index. Steps that no longer fit are passed over for smaller
/// ones, and what is left then goes where it helps most per order, so that the budget is met
/// exactly. Optimal among allocations of the same sum whenever the steepest steps fill the budget
/// exactly. The list of units may be one layer or all layers of a model. Shapes: errors [num_units,
/// max_order + 1]; weights [num_units], usually |D[:, j]|^2. Errors: kInvalidData when an error or
/// a weight is negative or not finite (names the unit). Cost: O(num_units * max_order * log).
Result<std::vector<int32_t>> AllocateOrders(std::span<const double> errors,
                                            std::span<const double> weights, int64_t budget,
                                            int min_order = 1, int max_order = 32);

/// Orders that differ by at most one and sum to `budget`; the higher ones spread evenly over the
/// units.
std::vector<int32_t> UniformOrders(int64_t num_units, int64_t budget);

/// Gives each block of `block` consecutive units one order, about their mean, for storage types
/// whose blocks must not straddle two orders. orders: descending, a multiple of `block` of them;
/// they stay so. surplus: orders given beyond the sum so far, 0 at first; it is handed from call to
/// call (layer to layer) and stays below `block`, so the sum of all calls is met or passed by less
/// than `block`.
void EqualiseOrders(std::span<int32_t> orders, int64_t block, int64_t& surplus);

}  // namespace unswift
