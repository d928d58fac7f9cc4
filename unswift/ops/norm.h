// Normalisation of rows.
#pragma once

#include <span>

#include "unswift/base/thread_pool.h"
#include "unswift/tensor/rows.h"

namespace unswift {

/// y = x / sqrt(mean(x^2) + eps) * weight. Shapes: x, y [m, n] (may be the same); weight [n].
/// Source: Zhang and Sennrich 2019 (arXiv 1910.07467), eq. 4; eps as in Llama.
void RmsNorm(ConstRows x, std::span<const float> weight, float eps, Rows y, ThreadPool& pool);

/// y = (x - mean) / sqrt(var + eps) * weight + bias. Shapes: x, y [m, n]; weight, bias [n].
void LayerNorm(ConstRows x, std::span<const float> weight, std::span<const float> bias, float eps,
               Rows y, ThreadPool& pool);

}  // namespace unswift
