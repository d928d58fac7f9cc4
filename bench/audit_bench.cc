// The recovery of one layer of an 8B-shape release (4096 x 14336, orders 4 to 12), made in memory:
// seconds per layer, GB/s of theta, and what 32 such layers would take. UNITS in the environment
// makes a smaller layer.
#include <cstdlib>

#include "bench/bench_common.h"
#include "tests/audit/synthetic_layer.h"
#include "unswift/audit/layer_recovery.h"

namespace unswift {
namespace {

constexpr int kLayers = 32;

void RecoverOneLayer(benchmark::State& state, DType theta, bool carry) {
  SyntheticOptions options;
  options.rows = 4096;
  options.units = 14336;
  if (const char* units = std::getenv("UNITS")) options.units = std::atoll(units);
  options.highest_order = 12;
  options.lowest_order = 4;
  options.theta_dtype = theta;
  options.carry = carry;
  const SyntheticLayer layer(options);
  const LayerFacts facts = layer.facts();
  const int threads = NumPhysicalCores();
  const Attack* const attacks[] = {&kConsistentRounding};
  double exact = 0.0;
  for (auto _ : state) {
    const LayerPass pass = RecoverSeries(facts, attacks, {}, PoolOf(threads));
    state.PauseTiming();
    // Right before fast: a sample of the weights against those that the layer was made of.
    int64_t equal = 0, looked_at = 0;
    std::vector<float> row(options.units);
    for (int64_t i = 0; i < options.rows; i += 16) {
      RowToF32(pass.recovered.dtype, pass.recovered.down_view().row(i), row);
      for (int64_t j = 0; j < options.units; ++j) equal += row[j] == layer.weight(i, j) ? 1 : 0;
      looked_at += options.units;
    }
    exact = static_cast<double>(equal) / static_cast<double>(looked_at);
    if (exact < 0.95) state.SkipWithError("fewer than 95 % of the weights recovered");
    state.ResumeTiming();
  }
  const double bytes = static_cast<double>(layer.series().theta.num_bytes());
  state.counters["exact"] = exact;
  state.counters["GB/s"] =
      benchmark::Counter(bytes * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["seconds for 32 layers of 14336 units"] = benchmark::Counter(
      1.0 / kLayers * static_cast<double>(options.units) / 14336,
      benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

BENCHMARK_CAPTURE(RecoverOneLayer, f16_carry, DType::kF16, true)
    ->Unit(benchmark::kSecond)
    ->Iterations(2)
    ->UseRealTime();
BENCHMARK_CAPTURE(RecoverOneLayer, bf16_carry, DType::kBF16, true)
    ->Unit(benchmark::kSecond)
    ->Iterations(2)
    ->UseRealTime();
BENCHMARK_CAPTURE(RecoverOneLayer, bf16_nearest, DType::kBF16, false)
    ->Unit(benchmark::kSecond)
    ->Iterations(2)
    ->UseRealTime();

}  // namespace
}  // namespace unswift

BENCHMARK_MAIN();
