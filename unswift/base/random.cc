#include "unswift/base/random.h"

#include <cmath>
#include <numbers>

namespace unswift {
namespace {

uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15ull;

}  // namespace

Random::Random(uint64_t seed, uint64_t stream)
    : state_(Mix(seed + kGolden) ^ Mix(Mix(stream + 2 * kGolden))) {}

uint64_t Random::NextU64() { return Mix(state_ += kGolden); }

double Random::NextUniform() { return static_cast<double>(NextU64() >> 11) * 0x1p-53; }

double Random::NextNormal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - NextUniform()));
  return radius * std::cos(2.0 * std::numbers::pi * NextUniform());
}

uint64_t Random::NextBelow(uint64_t bound) {
  const uint64_t limit = UINT64_MAX - UINT64_MAX % bound;  // rejects the biased tail
  uint64_t value = NextU64();
  while (value >= limit) value = NextU64();
  return value % bound;
}

}  // namespace unswift
