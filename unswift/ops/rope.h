// Rotary position embedding, half-split ("rotate_half") layout as in Hugging Face Llama.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "unswift/base/thread_pool.h"
#include "unswift/tensor/rows.h"

namespace unswift {

/// Cosines and sines of the rows of one pass; made once, read by every layer that rotates alike.
class RopeTable {
 public:
  /// Room for `rows` rows of `half` angles; what it held is gone.
  void Resize(int64_t rows, int64_t half);

  /// Sets rows first_row, first_row + 1, ...: angle positions[i] * inv_freq[j], cosine and sine
  /// multiplied by `scale`. Angles are formed in double and rounded to float32 at the cosine and
  /// sine, as accurate as transformers' float32 or better.
  /// Shapes: positions [n]; inv_freq [half].
  void SetRows(int64_t first_row, std::span<const int32_t> positions,
               std::span<const double> inv_freq, double scale, ThreadPool& pool);

  int64_t rows() const { return rows_; }
  int64_t half() const { return half_; }
  const float* cosines(int64_t row) const { return cosines_.data() + row * half_; }
  const float* sines(int64_t row) const { return sines_.data() + row * half_; }

 private:
  int64_t rows_ = 0, half_ = 0;
  std::vector<float> cosines_, sines_;  // [rows, half]
};

/// Rotates in place each head's first 2 * table.half() values by the angles of its row; pairs are
/// (i, i + half). Shapes: x [table.rows(), num_heads * head_dim].
/// Source: Su et al. 2021 (arXiv 2104.09864), eq. 34.
void ApplyRope(Rows x, int64_t head_dim, const RopeTable& table, ThreadPool& pool);

}  // namespace unswift
