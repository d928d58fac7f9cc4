// Reproducible random numbers: the same seed gives the same values on every platform and thread
// count.
#pragma once

#include <cstdint>

namespace unswift {

/// SplitMix64 (Steele, Lea, Flood 2014): 64 bits of state, one multiplication chain per number.
/// `stream` separates users of one seed (a sequence, a layer), so none depends on another's draws.
class Random {
 public:
  explicit Random(uint64_t seed, uint64_t stream = 0);
  uint64_t NextU64();
  /// Uniform in [0, 1), 53 bits.
  double NextUniform();
  /// Standard normal (Box-Muller).
  double NextNormal();
  /// Uniform in [0, bound), bound > 0.
  uint64_t NextBelow(uint64_t bound);

 private:
  uint64_t state_;
};

}  // namespace unswift
