#include "unswift/ops/rope.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unswift/ops/cpu/rope-inl.h"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "unswift/ops/cpu/rope-inl.h"

#if HWY_ONCE
#include <algorithm>
#include <cmath>
#include <vector>

#include "unswift/base/check.h"
#include "unswift/ops/cpu/partition.h"

namespace unswift {

HWY_EXPORT(RotateRow);

namespace {

/// Cosines and sines of one set of positions. Every layer of a step asks for the same ones, so the
/// calling thread keeps its last table.
struct RopeTable {
  std::vector<int32_t> positions;
  std::vector<double> inv_freq;
  std::vector<float> cosines, sines;  // [positions, inv_freq]
};

const RopeTable& TableFor(std::span<const int32_t> positions, std::span<const double> inv_freq,
                          ThreadPool& pool) {
  thread_local RopeTable table;
  if (std::ranges::equal(table.positions, positions) &&
      std::ranges::equal(table.inv_freq, inv_freq)) {
    return table;
  }
  table.positions.assign(positions.begin(), positions.end());
  table.inv_freq.assign(inv_freq.begin(), inv_freq.end());
  const int64_t half = static_cast<int64_t>(inv_freq.size());
  table.cosines.resize(positions.size() * inv_freq.size());
  table.sines.resize(table.cosines.size());
  RopeTable& shared = table;  // the name of a thread_local means another object on each thread
  pool.ParallelFor(static_cast<int64_t>(positions.size()), 8, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * half; i < end * half; ++i) {
      const double angle = positions[i / half] * inv_freq[i % half];
      shared.cosines[i] = static_cast<float>(std::cos(angle));
      shared.sines[i] = static_cast<float>(std::sin(angle));
    }
  });
  return table;
}

}  // namespace

void ApplyRope(Rows x, int64_t head_dim, std::span<const int32_t> positions,
               std::span<const double> inv_freq, ThreadPool& pool) {
  const int64_t half = static_cast<int64_t>(inv_freq.size());
  UNSWIFT_CHECK(head_dim > 0 && x.cols % head_dim == 0 && 2 * half <= head_dim);
  UNSWIFT_CHECK(positions.size() == x.rows);
  const RopeTable& table = TableFor(positions, inv_freq, pool);
  ForEachRow(x.rows, x.cols, pool, [&](int64_t r) {
    HWY_DYNAMIC_DISPATCH(RotateRow)
    (x.row(r).data(), x.cols / head_dim, head_dim, half, table.cosines.data() + r * half,
     table.sines.data() + r * half);
  });
}

}  // namespace unswift
#endif  // HWY_ONCE
