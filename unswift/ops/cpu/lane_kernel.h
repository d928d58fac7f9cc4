// What multiplies for lane_gemm.cc. A word is what one lane multiplies by one instruction: a float,
// or a pair of bf16 that follow each other along k.
#pragma once

#include <cstddef>
#include <cstdint>

#include "unswift/tensor/rows.h"

namespace unswift {

inline constexpr int64_t kLanes512 = 16;
inline constexpr int64_t kLineWords = 16;      ///< of k: weights are moved by so many
inline constexpr int kPanelVectors = 3;        ///< of activation rows, multiplied together
inline constexpr int64_t kLaneWeightRows = 8;  ///< of a block of sums: 24 of 32 registers
inline constexpr int kMaxLaneMoves = 8;

/// Weight rows that are packed while others are multiplied, a line per line of those: the loads and
/// stores find free slots there, and memory's latency is hidden.
struct LaneMoves {
  int count = 0;
  const std::byte* from[kMaxLaneMoves];
  uint32_t* to[kMaxLaneMoves];  ///< lines lie kLaneWeightRows lines apart
  int64_t prefetch_bytes = 0;   ///< from a row to the one that a later call moves
};

struct LaneOperands {
  const uint32_t* weights;  ///< [lines][kLaneWeightRows][kLineWords]
  const uint32_t* x;        ///< [lines][kLineWords][vectors][kLanes512]
  int64_t lines;
  bool accumulate;
  float* sums;  ///< [kLaneWeightRows][stride], 64-byte aligned rows of vectors * kLanes512
  int64_t stride;
};

using LaneMultiply = void (*)(const LaneOperands& operands, const LaneMoves& moves);
/// Packs one line of a weight row.
using LaneMoveLine = void (*)(const std::byte* from, uint32_t* to);

/// For one stored type and one kind of products.
struct LaneKernel {
  LaneMultiply multiply[kPanelVectors];  ///< by the number of vectors, less one
  LaneMoveLine move_line;
  int64_t line_bytes;  ///< as stored
};

/// As stored: f32.
extern const LaneKernel kLaneF32, kLaneF16, kLaneBf16;
/// bf16 products of stored bf16.
extern const LaneKernel kLaneBf16Pairs;

/// Where the vectors of 16 activation rows go, a word of k after the other.
struct LaneTarget {
  uint32_t* data;  ///< 64-byte aligned
  int64_t stride;  ///< words of memory from one vector to the next
  int64_t words;   ///< of k, a multiple of kLineWords; what lies beyond the columns is zero
};
/// Packs up to 16 rows, as they are or rounded to pairs of bf16.
void PackFloatLanes(ConstRows rows, const LaneTarget& target);
void PackBf16Lanes(ConstRows rows, const LaneTarget& target);

}  // namespace unswift
