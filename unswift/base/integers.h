// Integer arithmetic of sizes.
#pragma once

#include <cstdint>

namespace unswift {

/// a / b rounded up, for a >= 0 and b > 0.
constexpr int64_t CeilDiv(int64_t a, int64_t b) { return a / b + (a % b != 0); }
/// The least multiple of `to` that is at least `value`.
constexpr int64_t RoundUp(int64_t value, int64_t to) { return CeilDiv(value, to) * to; }

}  // namespace unswift
