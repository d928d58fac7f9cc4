// Shared by the kernel benchmarks.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "unswift/base/random.h"
#include "unswift/base/thread_pool.h"
#include "unswift/ops/aligned_buffer.h"
#include "unswift/ops/bandwidth.h"
#include "unswift/tensor/convert.h"
#include "unswift/tensor/packed.h"
#include "unswift/tensor/tensor_view.h"

namespace unswift {

/// A pool per thread count, kept: threads park between benchmarks.
inline ThreadPool& PoolOf(int num_threads) {
  static std::map<int, std::unique_ptr<ThreadPool>> pools;
  auto& pool = pools[num_threads];
  if (pool == nullptr) pool = std::make_unique<ThreadPool>(num_threads);
  return *pool;
}

/// Read bandwidth of this machine in this run, in bytes per second.
inline double Bandwidth(int num_threads) {
  static std::map<int, double> measured;
  auto [it, is_new] = measured.try_emplace(num_threads, 0.0);
  if (is_new) it->second = MeasureReadBandwidth(int64_t{512} << 20, 5, PoolOf(num_threads));
  return it->second;
}

inline std::vector<float> RandomFloats(int64_t count, uint64_t seed, double scale = 1.0) {
  Random random(seed);
  std::vector<float> values(count);
  for (float& v : values) v = static_cast<float>(scale * random.NextNormal());
  return values;
}

/// A stored matrix, on huge pages as those of a model: a few random rows, repeated (making hundreds
/// of megabytes of normals takes long).
class BenchWeight {
 public:
  BenchWeight(DType dtype, int64_t rows, int64_t cols) {
    if (IsQuantized(dtype)) {
      MakePacked(dtype, rows, cols);
    } else {
      MakePlain(dtype, rows, cols);
    }
  }
  const MatrixView& view() const { return view_; }

 private:
  void MakePlain(DType dtype, int64_t rows, int64_t cols) {
    const int64_t row_bytes = cols * BlockBytes(dtype);
    std::byte* const bytes = bytes_.GetBytes(rows * row_bytes);
    constexpr int64_t kDistinct = 61;
    for (int64_t r = 0; r < rows; ++r) {
      std::byte* row = bytes + r * row_bytes;
      if (r < kDistinct) {
        RowFromF32(dtype, RandomFloats(cols, r, 0.05), row);
      } else {
        std::copy_n(bytes + r % kDistinct * row_bytes, row_bytes, row);
      }
    }
    view_ = {dtype, rows, cols, row_bytes, bytes};
  }
  void MakePacked(DType dtype, int64_t rows, int64_t cols) {
    std::byte* const bytes = bytes_.GetBytes(PackedView(dtype, rows, cols, nullptr).num_bytes());
    view_ = PackedView(dtype, rows, cols, bytes);
    constexpr int64_t kDistinctGroups = 5;
    const int64_t group_bytes = kPackedRows * view_.row_bytes;
    for (int64_t g = 0; g * kPackedRows < rows; ++g) {
      std::byte* group = bytes + g * group_bytes;
      if (g < kDistinctGroups) {
        const std::vector<float> values = RandomFloats(kPackedRows * cols, g, 0.05);
        PackRows(dtype, ConstRows(values.data(), kPackedRows, cols), group);
      } else {
        std::copy_n(bytes + g % kDistinctGroups * group_bytes, group_bytes, group);
      }
    }
  }

  AlignedBuffer bytes_;
  MatrixView view_;
};

/// Reports GB/s of `bytes` read per iteration, the share of the machine's read bandwidth (best of
/// this run), and GFLOP/s.
inline void Report(benchmark::State& state, double bytes, double flops, int num_threads) {
  using benchmark::Counter;
  state.counters["GB/s"] = Counter(bytes * 1e-9, Counter::kIsIterationInvariantRate);
  state.counters["share"] =
      Counter(bytes / Bandwidth(num_threads), Counter::kIsIterationInvariantRate);
  state.counters["GFLOP/s"] = Counter(flops * 1e-9, Counter::kIsIterationInvariantRate);
}

}  // namespace unswift
