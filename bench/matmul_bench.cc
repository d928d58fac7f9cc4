// MatMul from memory: GB/s of weights, share of the measured read bandwidth, GFLOP/s.
#include "unswift/ops/matmul.h"

#include <cmath>

#include "bench/bench_common.h"
#include "unswift/ops/reference/reference.h"

namespace unswift {
namespace {

/// Compares some outputs with the oracle; every row and dtype of the benchmark passes here first.
bool IsCorrect(ConstRows x, const MatrixView& weight, ConstRows y, double tolerance) {
  for (const int64_t first : {int64_t{0}, weight.rows - kPackedRows}) {
    const auto expected =
        reference::MatMul(x.Slice(x.rows - 1, 1), weight.Rows(first, kPackedRows), nullptr);
    for (int64_t i = 0; i < kPackedRows; ++i) {
      const double error = std::abs(y.row(x.rows - 1)[first + i] - expected.y.at(0, i));
      if (!(error <= tolerance * expected.magnitude.at(0, i))) return false;
    }
  }
  return true;
}

void BM_MatMul(benchmark::State& state, DType dtype, int64_t weight_bytes,
               ActivationPrecision precision = ActivationPrecision::kFloat32) {
  const int64_t m = state.range(0), k = state.range(1);
  const int threads = static_cast<int>(state.range(2));
  const int64_t row_bytes = k / BlockElements(dtype) * BlockBytes(dtype);
  const int64_t n = weight_bytes / row_bytes / kPackedRows * kPackedRows;
  static std::map<std::tuple<DType, int64_t, int64_t>, BenchWeight> weights;  // the last one
  const std::tuple key(dtype, n, k);
  if (!weights.contains(key)) {
    weights.clear();
    weights.try_emplace(key, dtype, n, k);
  }
  const MatrixView& weight = weights.at(key).view();
  const std::vector<float> x = RandomFloats(m * k, 1);
  std::vector<float> y(m * n);
  const ConstRows x_rows(x.data(), m, k);
  const Rows y_rows(y.data(), m, n);
  ThreadPool& pool = PoolOf(threads);
  const auto multiply = [&] {
    MatMul(x_rows, weight, nullptr, y_rows, pool, MatMulMode::kOverwrite, precision);
  };
  multiply();
  // Half an ulp of bf16, or what float32 sums may add up to.
  const double tolerance = precision == ActivationPrecision::kBF16 ? 0x1p-8 : 1e-4;
  if (!IsCorrect(x_rows, weight, y_rows, tolerance)) return state.SkipWithError("wrong result");
  for (auto _ : state) {
    multiply();
    benchmark::ClobberMemory();
  }
  Report(state, double(weight.num_bytes()), 2.0 * m * n * k, threads);
}

constexpr int64_t kLarge = int64_t{384} << 20;  // several times a last-level cache
constexpr int64_t kSmall = int64_t{32} << 20;   // prefill: one matrix of a 1B model

void Streaming(benchmark::internal::Benchmark* b) {
  b->ArgNames({"m", "k", "threads"})->ArgsProduct({{1, 4, 16}, {576, 2048, 8192}, {1, 2}});
  b->UseRealTime()->Unit(benchmark::kMillisecond);
}
void Tiled(benchmark::internal::Benchmark* b) {
  b->ArgNames({"m", "k", "threads"})->ArgsProduct({{32, 64, 512}, {2048}, {1, 2}});
  b->UseRealTime()->Unit(benchmark::kMillisecond);
}

BENCHMARK_CAPTURE(BM_MatMul, bf16, DType::kBF16, kLarge)->Apply(Streaming);
BENCHMARK_CAPTURE(BM_MatMul, f16, DType::kF16, kLarge)->Apply(Streaming);
BENCHMARK_CAPTURE(BM_MatMul, f32, DType::kF32, kLarge)->Apply(Streaming);
BENCHMARK_CAPTURE(BM_MatMul, q8_0, DType::kQ8_0, kLarge)->Apply(Streaming);
BENCHMARK_CAPTURE(BM_MatMul, q4_0, DType::kQ4_0, kLarge)->Apply(Streaming);
BENCHMARK_CAPTURE(BM_MatMul, q8_0_prefill, DType::kQ8_0, kSmall / 2)->Apply(Tiled);
BENCHMARK_CAPTURE(BM_MatMul, q4_0_prefill, DType::kQ4_0, kSmall / 4)->Apply(Tiled);
BENCHMARK_CAPTURE(BM_MatMul, bf16_prefill, DType::kBF16, kSmall)->Apply(Tiled);
BENCHMARK_CAPTURE(BM_MatMul, bf16_activations_prefill, DType::kBF16, kSmall,
                  ActivationPrecision::kBF16)
    ->Apply(Tiled);
BENCHMARK_CAPTURE(BM_MatMul, f32_prefill, DType::kF32, 2 * kSmall)->Apply(Tiled);

}  // namespace
}  // namespace unswift

BENCHMARK_MAIN();
