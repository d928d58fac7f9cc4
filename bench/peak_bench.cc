// What the processor can multiply at most, without memory: float32 and bf16 and int8 products per
// second.
#include <benchmark/benchmark.h>

#include <cstring>

#include "bench/bench_common.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define UNSWIFT_PEAK(features) __attribute__((target(features), noinline))

namespace unswift {
namespace {

constexpr int64_t kSteps = 2'000'000;
constexpr int kSums = 16;  // more than latency x width of any of these instructions

/// Sums of different values: equal ones would be computed once.
UNSWIFT_PEAK("avx512f") float F32(int64_t steps) {
  __m512 sums[kSums];
  for (int i = 0; i < kSums; ++i) sums[i] = _mm512_set1_ps(1e-9f * static_cast<float>(i + 1));
  __m512 a = _mm512_set1_ps(0.999f);
  const __m512 b = _mm512_set1_ps(1e-3f);
  for (int64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 16
    for (int i = 0; i < kSums; ++i) sums[i] = _mm512_fmadd_ps(a, sums[i], b);
    asm volatile("" : "+v"(a));
  }
  float sum = 0.0f;
  for (const __m512& s : sums) sum += _mm512_reduce_add_ps(s);
  return sum;
}

UNSWIFT_PEAK("avx512f,avx512bw,avx512bf16") float Bf16(int64_t steps) {
  __m512 sums[kSums];
  for (int i = 0; i < kSums; ++i) sums[i] = _mm512_set1_ps(1e-9f * static_cast<float>(i + 1));
  __m512i a = _mm512_set1_epi16(0x1234);
  const __m512i b = _mm512_set1_epi16(0x1235);
  for (int64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 16
    for (int i = 0; i < kSums; ++i) sums[i] = _mm512_dpbf16_ps(sums[i], (__m512bh)a, (__m512bh)b);
    asm volatile("" : "+v"(a));
  }
  float sum = 0.0f;
  for (const __m512& s : sums) sum += _mm512_reduce_add_ps(s);
  return sum;
}

UNSWIFT_PEAK("avx512f,avx512bw,avx512vnni") float Int8(int64_t steps) {
  __m512i sums[kSums];
  for (int i = 0; i < kSums; ++i) sums[i] = _mm512_set1_epi32(i);
  __m512i a = _mm512_set1_epi8(3);
  const __m512i b = _mm512_set1_epi8(5);
  for (int64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 16
    for (int i = 0; i < kSums; ++i) sums[i] = _mm512_dpbusd_epi32(sums[i], a, b);
    asm volatile("" : "+v"(a));
  }
  int sum = 0;
  for (const __m512i& s : sums) sum += _mm512_reduce_add_epi32(s);
  return static_cast<float>(sum);
}

void BM_Peak(benchmark::State& state, float (*run)(int64_t), int products, bool supported) {
  if (!supported) return state.SkipWithError("not on this processor");
  ThreadPool& pool = PoolOf(static_cast<int>(state.range(0)));
  for (auto _ : state) {
    pool.RunOnAll([&](int) { benchmark::DoNotOptimize(run(kSteps)); });
  }
  const double count = 2.0 * products * kSums * kSteps * static_cast<double>(state.range(0));
  state.counters["GFLOP/s"] =
      benchmark::Counter(count * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

void Threads(benchmark::internal::Benchmark* b) {
  b->ArgNames({"threads"})->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);
}
BENCHMARK_CAPTURE(BM_Peak, f32, F32, 16, __builtin_cpu_supports("avx512f") != 0)->Apply(Threads);
BENCHMARK_CAPTURE(BM_Peak, bf16, Bf16, 32, __builtin_cpu_supports("avx512bf16") != 0)
    ->Apply(Threads);
BENCHMARK_CAPTURE(BM_Peak, int8, Int8, 64, __builtin_cpu_supports("avx512vnni") != 0)
    ->Apply(Threads);

}  // namespace
}  // namespace unswift
#endif

BENCHMARK_MAIN();
