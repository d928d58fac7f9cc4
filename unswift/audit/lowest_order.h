// What the lowest stored order says about each weight: it is the plainly rounded product of the
// weight and one coefficient.
#pragma once

#include "unswift/audit/block_kernels.h"

namespace unswift {

/// Smaller numbers of a type with so many mantissa bits may be subnormal, their steps of another
/// size: they say nothing. (bf16's least normal number, with room for fractions of its steps.)
float LeastRegular(int theta_bits);

/// Sharpens each unit's coefficient c to the one nearby that explains most rows with the snapped
/// weights, theta[i] = round(c w[i]). Shapes: snapped [rows][16].
void SharpenLowestOrder(const ThetaBlock& block, int theta_bits, const float* snapped,
                        LaneDoubles& coefficient);

/// Moves every snapped weight that contradicts its unit's coefficient to its neighbour on the grid
/// that does not, where one of the two does. theta_bits, weight_bits: explicit mantissa bits of the
/// two types. Units of coefficient 0 are left alone. Shapes: estimate (the weights before they were
/// snapped), snapped [rows][16].
void KeepLowestOrder(const ThetaBlock& block, int theta_bits, int weight_bits,
                     const LaneDoubles& coefficient, const float* estimate, float* snapped);

}  // namespace unswift
