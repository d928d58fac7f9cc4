// Rotary position embedding, half-split ("rotate_half") layout as in Hugging Face Llama.
#pragma once

#include <cstdint>
#include <span>

#include "unswift/base/thread_pool.h"
#include "unswift/tensor/rows.h"

namespace unswift {

/// Rotates in place each head's first rotary_dim = 2 * inv_freq.size() values by the angle
/// positions[row] * inv_freq[i]; pairs are (i, i + rotary_dim / 2). Angles are formed in double and
/// rounded to float32 at the cosine and sine, as accurate as transformers' float32 or better.
/// Shapes: x [m, num_heads * head_dim]; positions [m].
/// Source: Su et al. 2021 (arXiv 2104.09864), eq. 34.
void ApplyRope(Rows x, int64_t head_dim, std::span<const int32_t> positions,
               std::span<const double> inv_freq, ThreadPool& pool);

}  // namespace unswift
