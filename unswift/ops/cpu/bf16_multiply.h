// The instructions that multiply the tiles of bf16_gemm.h. Internal to it.
#pragma once

#include "unswift/ops/cpu/bf16_gemm.h"

namespace unswift {

/// Whether the processor has them and the system lets this process use them; asked once.
bool HasAmx();
bool HasBf16Dot();

/// As Bf16Multiply. DotMultiply: operands of one part.
void AmxMultiply(const Bf16Weights& weights, const Bf16Activations& x, int64_t first_k_tile,
                 bool accumulate, float* sums, int64_t stride);
void DotMultiply(const Bf16Weights& weights, const Bf16Activations& x, int64_t first_k_tile,
                 bool accumulate, float* sums, int64_t stride);

}  // namespace unswift
