// Picks the next token from logits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "unswift/base/random.h"

namespace unswift {

struct SamplingOptions {
  double temperature = 0.0;  ///< 0 = greedy (the largest logit)
  int64_t top_k = 0;         ///< keep the k most likely; 0 = all
  double top_p = 1.0;        ///< keep the least set whose probability reaches p
  uint64_t seed = 0;
};

/// One sequence's sampler: its draws depend on seed and stream alone.
class Sampler {
 public:
  Sampler(const SamplingOptions& options, uint64_t stream = 0)
      : options_(options), random_(options.seed, stream) {}
  int32_t Sample(std::span<const float> logits);

 private:
  SamplingOptions options_;
  Random random_;
  std::vector<int32_t> candidates_;
  std::vector<double> weights_;
};

}  // namespace unswift
