// The instructions that multiply bf16. Internal to bf16_gemm.cc.
#pragma once

#include "unswift/ops/cpu/bf16_gemm.h"

namespace unswift {

/// Whether the processor has them and the system lets this process use them; asked once.
bool HasAmx();
bool HasBf16Dot();

/// As Bf16Multiply.
void AmxMultiply(const Bf16Weights& weights, const Bf16Activations& x, int64_t first_k_tile,
                 bool accumulate, float* sums, int64_t stride);

}  // namespace unswift
