// MatMul from memory: GB/s of weights, share of the measured read bandwidth, GFLOP/s.
#include "unswift/ops/matmul.h"

#include <cmath>
#include <optional>
#include <tuple>

#include "bench/bench_common.h"
#include "unswift/ops/cpu/weight_reads.h"
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

/// One iteration multiplies by `matrices` matrices, one after the other.
void BM_MatMul(benchmark::State& state, DType dtype, int64_t matrix_bytes, int matrices,
               ActivationPrecision precision = ActivationPrecision::kFloat32) {
  const int64_t m = state.range(0), k = state.range(1);
  const int threads = static_cast<int>(state.range(2));
  const int64_t row_bytes = k / BlockElements(dtype) * BlockBytes(dtype);
  const int64_t n = matrix_bytes / row_bytes / kPackedRows * kPackedRows;
  static std::map<std::tuple<DType, int64_t, int64_t>, std::vector<BenchWeight>> kept;  // the last
  const std::tuple key(dtype, n, k);
  if (!kept.contains(key)) {
    kept.clear();
    for (int i = 0; i < matrices; ++i) kept[key].emplace_back(dtype, n, k);
  }
  const std::vector<BenchWeight>& weights = kept.at(key);
  const std::vector<float> x = RandomFloats(m * k, 1);
  std::vector<float> y(m * n);
  const ConstRows x_rows(x.data(), m, k);
  const Rows y_rows(y.data(), m, n);
  ThreadPool& pool = PoolOf(threads);
  const auto multiply = [&] {
    for (const BenchWeight& weight : weights) {
      MatMul(x_rows, weight.view(), nullptr, y_rows, pool, MatMulMode::kOverwrite, precision);
    }
  };
  multiply();
  // Half an ulp of bf16, or what float32 sums may add up to.
  const double tolerance = precision == ActivationPrecision::kBF16 ? 0x1p-8 : 1e-4;
  if (!IsCorrect(x_rows, weights.back().view(), y_rows, tolerance)) {
    return state.SkipWithError("wrong result");
  }
  for (auto _ : state) {
    multiply();
    benchmark::ClobberMemory();
  }
  Report(state, static_cast<double>(matrices * weights[0].view().num_bytes()),
         2.0 * matrices * m * n * k, threads);
}

// A matrix of a 1B model. Decoding reads matrix after matrix, in all many times a last-level cache;
// one matrix of that size would be read in streams further apart than any model's.
constexpr int64_t kMatrix = int64_t{32} << 20;
constexpr int kMany = 16;

/// Each way to read weights, for a processor that CurrentWeightReads() does not know yet.
void BM_WeightReads(benchmark::State& state, DType dtype, WeightReads reads) {
  ForceWeightReadsForTest(reads);
  BM_MatMul(state, dtype, kMatrix, kMany);
  ForceWeightReadsForTest(std::nullopt);
}
void SingleRow(benchmark::internal::Benchmark* b) {
  b->ArgNames({"m", "columns", "threads"})->ArgsProduct({{1}, {576, 2048, 8192, 65536}, {1, 2}});
  b->UseRealTime()->Unit(benchmark::kMillisecond);
}
#define UNSWIFT_BENCHMARK_READS(name, dtype)                                                   \
  BENCHMARK_CAPTURE(BM_WeightReads, name##_far, dtype, WeightReads::kFar)->Apply(SingleRow);   \
  BENCHMARK_CAPTURE(BM_WeightReads, name##_near, dtype, WeightReads::kNear)->Apply(SingleRow); \
  BENCHMARK_CAPTURE(BM_WeightReads, name##_plain, dtype, WeightReads::kPlain)->Apply(SingleRow)
UNSWIFT_BENCHMARK_READS(bf16, DType::kBF16);
UNSWIFT_BENCHMARK_READS(q8_0, DType::kQ8_0);
UNSWIFT_BENCHMARK_READS(q4_0, DType::kQ4_0);

void Streaming(benchmark::internal::Benchmark* b) {
  b->ArgNames({"m", "k", "threads"})->ArgsProduct({{1, 4, 16}, {576, 2048, 8192}, {1, 2}});
  b->UseRealTime()->Unit(benchmark::kMillisecond);
}
void Tiled(benchmark::internal::Benchmark* b) {
  b->ArgNames({"m", "k", "threads"})->ArgsProduct({{32, 64, 512}, {2048}, {1, 2}});
  b->UseRealTime()->Unit(benchmark::kMillisecond);
}

BENCHMARK_CAPTURE(BM_MatMul, bf16, DType::kBF16, kMatrix, kMany)->Apply(Streaming);
BENCHMARK_CAPTURE(BM_MatMul, f16, DType::kF16, kMatrix, kMany)->Apply(Streaming);
BENCHMARK_CAPTURE(BM_MatMul, f32, DType::kF32, kMatrix, kMany)->Apply(Streaming);
BENCHMARK_CAPTURE(BM_MatMul, q8_0, DType::kQ8_0, kMatrix, kMany)->Apply(Streaming);
BENCHMARK_CAPTURE(BM_MatMul, q4_0, DType::kQ4_0, kMatrix, kMany)->Apply(Streaming);
BENCHMARK_CAPTURE(BM_MatMul, q8_0_prefill, DType::kQ8_0, kMatrix / 2, 1)->Apply(Tiled);
BENCHMARK_CAPTURE(BM_MatMul, q4_0_prefill, DType::kQ4_0, kMatrix / 4, 1)->Apply(Tiled);
BENCHMARK_CAPTURE(BM_MatMul, bf16_prefill, DType::kBF16, kMatrix, 1)->Apply(Tiled);
BENCHMARK_CAPTURE(BM_MatMul, bf16_activations_prefill, DType::kBF16, kMatrix, 1,
                  ActivationPrecision::kBF16)
    ->Apply(Tiled);
BENCHMARK_CAPTURE(BM_MatMul, f32_prefill, DType::kF32, 2 * kMatrix, 1)->Apply(Tiled);

}  // namespace
}  // namespace unswift

BENCHMARK_MAIN();
