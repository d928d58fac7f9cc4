// Attention: GB/s of keys and values in decode, GFLOP/s in prefill.
#include "unswift/ops/attention.h"

#include <cmath>

#include "bench/bench_common.h"
#include "unswift/ops/reference/reference.h"

namespace unswift {
namespace {

void BM_Attention(benchmark::State& state) {
  const int64_t q_len = state.range(0), kv_len = state.range(1);
  const int64_t num_heads = state.range(2), num_kv_heads = state.range(3);
  const int64_t head_dim = state.range(4);
  const int threads = static_cast<int>(state.range(5));
  const int64_t kv_size = num_kv_heads * kv_len * head_dim;
  const std::vector<float> q = RandomFloats(q_len * num_heads * head_dim, 1);
  const std::vector<float> keys = RandomFloats(kv_size, 2), values = RandomFloats(kv_size, 3);
  std::vector<float> out(q.size());
  const KvView kv{keys.data(), values.data(), kv_len * head_dim, kv_len, num_kv_heads, head_dim};
  const ConstRows q_rows(q.data(), q_len, num_heads * head_dim);
  const Rows out_rows(out.data(), q_len, num_heads * head_dim);
  AttentionOptions options;
  options.scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  ThreadPool& pool = PoolOf(threads);

  Attention(q_rows, kv, options, out_rows, pool);
  const auto expected = reference::Attention(q_rows.Slice(q_len - 1, 1), kv, options);
  for (int64_t i = 0; i < q_rows.cols; ++i) {
    if (!(std::abs(out_rows.row(q_len - 1)[i] - expected.at(0, i)) <= 1e-5)) {
      return state.SkipWithError("wrong result");
    }
  }
  for (auto _ : state) {
    Attention(q_rows, kv, options, out_rows, pool);
    benchmark::ClobberMemory();
  }
  const double visible = double(q_len) * (double(kv_len) - 0.5 * double(q_len - 1));
  Report(state, 2.0 * double(kv_size) * sizeof(float), 4.0 * visible * num_heads * head_dim,
         threads);
}

BENCHMARK(BM_Attention)
    ->ArgNames({"q", "kv", "heads", "kv_heads", "dim", "threads"})
    ->ArgsProduct({{1}, {512, 4096, 65536}, {9}, {3}, {64}, {1, 2}})
    ->ArgsProduct({{1}, {4096, 16384}, {32}, {8}, {128}, {1, 2}})
    ->ArgsProduct({{512}, {512}, {9}, {3}, {64}, {1, 2}})
    ->ArgsProduct({{512}, {512}, {32}, {8}, {64}, {1, 2}})
    ->ArgsProduct({{512, 2048}, {2048}, {9}, {3}, {64}, {1, 2}})
    ->ArgsProduct({{4096}, {4096}, {9}, {3}, {64}, {1, 2}})
    ->ArgsProduct({{512, 4096}, {4096}, {32}, {8}, {64}, {1, 2}})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace unswift

BENCHMARK_MAIN();
