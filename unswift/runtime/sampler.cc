#include "unswift/runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "unswift/ops/logits.h"

namespace unswift {

int32_t Sampler::Sample(std::span<const float> logits) {
  const auto best = static_cast<int32_t>(ArgMax(logits));
  if (options_.temperature <= 0.0) return best;
  candidates_.resize(logits.size());
  std::iota(candidates_.begin(), candidates_.end(), 0);
  const auto more_likely = [&](int32_t a, int32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  };
  const bool limited = options_.top_k > 0 && options_.top_k < static_cast<int64_t>(logits.size());
  if (limited) {
    std::nth_element(candidates_.begin(), candidates_.begin() + options_.top_k, candidates_.end(),
                     more_likely);
    candidates_.resize(options_.top_k);
  }
  if (limited || options_.top_p < 1.0) {
    std::sort(candidates_.begin(), candidates_.end(), more_likely);
  }
  weights_.resize(candidates_.size());
  double total = 0.0;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    const double above = static_cast<double>(logits[candidates_[i]]) - logits[best];
    weights_[i] = std::exp(above / options_.temperature);
    total += weights_[i];
  }
  if (options_.top_p < 1.0) {
    double kept = 0.0;
    size_t count = 0;
    while (count < weights_.size() && (count == 0 || kept < options_.top_p * total)) {
      kept += weights_[count++];
    }
    candidates_.resize(count);
    total = kept;
  }
  double target = random_.NextUniform() * total;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    target -= weights_[i];
    if (target < 0.0) return candidates_[i];
  }
  return candidates_.back();
}

}  // namespace unswift
