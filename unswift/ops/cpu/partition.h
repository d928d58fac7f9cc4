// How elementwise work is cut into parallel pieces.
#pragma once

#include <algorithm>
#include <cstdint>

#include "unswift/base/thread_pool.h"

namespace unswift {

/// Below this many elements per piece, waking a thread costs more than it saves.
inline constexpr int64_t kMinElementsPerPiece = 8192;

/// Calls fn(row, begin, count) so that every column of every row is covered once, in parallel over
/// rows, or over columns when there is one row. Column pieces start at multiples of 64.
template <typename Fn>
void ForEachRowPiece(int64_t rows, int64_t cols, ThreadPool& pool, const Fn& fn) {
  if (rows == 1) {
    pool.ParallelFor(cols, kMinElementsPerPiece,
                     [&](int64_t begin, int64_t end) { fn(int64_t{0}, begin, end - begin); });
    return;
  }
  const int64_t grain = std::max<int64_t>(1, kMinElementsPerPiece / std::max<int64_t>(cols, 1));
  pool.ParallelFor(rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) fn(r, int64_t{0}, cols);
  });
}

/// Calls fn(row) for every row, in parallel. For work that needs whole rows.
template <typename Fn>
void ForEachRow(int64_t rows, int64_t cols, ThreadPool& pool, const Fn& fn) {
  const int64_t grain = std::max<int64_t>(1, kMinElementsPerPiece / std::max<int64_t>(cols, 1));
  pool.ParallelFor(rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) fn(r);
  });
}

}  // namespace unswift
