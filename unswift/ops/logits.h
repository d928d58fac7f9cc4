// Reductions over logits.
#pragma once

#include <cstdint>
#include <span>

namespace unswift {

/// log(sum(exp(x))), exponentials and sum in double with the maximum subtracted. NaN among finite
/// values gives NaN.
double LogSumExp(std::span<const float> logits);
/// Index of the largest value, the first one of equals. NaN never wins; 0 when there is nothing
/// else.
int64_t ArgMax(std::span<const float> values);

}  // namespace unswift
