// The series MLP's down projection: GB/s of theta, share of the measured read bandwidth, GFLOP/s.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "bench/bench_common.h"
#include "unswift/ops/reference/reference.h"
#include "unswift/ops/series_mlp.h"

namespace unswift {
namespace {

/// Orders fall evenly from `2 * mean_order` to 0 along the units, or are all the same.
struct BenchUnits {
  BenchUnits(int64_t num_units, int64_t mean_order, bool uniform = false)
      : centre(num_units, 0.1f), inv_radius(num_units, 0.3f) {
    const int64_t max_order = uniform ? mean_order : 2 * mean_order;
    for (int64_t n = 0; n <= max_order; ++n) {
      units_of_order.push_back(uniform ? num_units
                                       : num_units * (max_order + 1 - n) / (max_order + 1));
    }
    view.centre = centre;
    view.inv_radius = inv_radius;
    view.units_of_order = units_of_order;
  }
  std::vector<float> centre, inv_radius;
  std::vector<int64_t> units_of_order;
  SeriesUnits view;
};

struct ErrorOfRow {
  double of_terms = 0.0;   // largest, relative to the sum of its terms' magnitudes
  double of_output = 0.0;  // largest, relative to the largest output
};

/// Of the first row, against a double-precision sum of the same terms.
ErrorOfRow MeasureError(const SeriesUnits& units, ConstRows z, ConstRows u, const MatrixView& theta,
                        ConstRows y) {
  const auto features = reference::SeriesFeatures(units, z.Slice(0, 1), u.Slice(0, 1));
  std::vector<float> row(theta.cols);
  ErrorOfRow error;
  double largest_error = 0.0, largest_output = 0.0;
  for (int64_t i = 0; i < theta.rows; ++i) {
    MatrixRowToF32(theta, i, row);
    double expected = 0.0, magnitude = 0.0;
    for (int64_t k = 0; k < theta.cols; ++k) {
      expected += features.values[k] * row[k];
      magnitude += std::abs(features.values[k] * row[k]);
    }
    const double difference = std::abs(y.row(0)[i] - expected);
    error.of_terms = std::max(error.of_terms, difference / magnitude);
    largest_error = std::max(largest_error, difference);
    largest_output = std::max(largest_output, std::abs(expected));
  }
  error.of_output = largest_error / largest_output;
  return error;
}

void RunDownProjection(benchmark::State& state, DType dtype, int64_t m, const BenchUnits& units,
                       int64_t hidden_size, int threads) {
  const int64_t num_units = units.view.num_units();
  const BenchWeight theta(dtype, hidden_size, units.view.num_features());
  const std::vector<float> z = RandomFloats(m * num_units, 1, 2.0);
  const std::vector<float> u = RandomFloats(m * num_units, 2);
  std::vector<float> y(m * hidden_size);
  const ConstRows z_rows(z.data(), m, num_units), u_rows(u.data(), m, num_units);
  const Rows y_rows(y.data(), m, hidden_size);
  ThreadPool& pool = PoolOf(threads);
  SeriesDownProjection(units.view, z_rows, u_rows, theta.view(), y_rows, pool, false);
  const ErrorOfRow error = MeasureError(units.view, z_rows, u_rows, theta.view(), y_rows);
  if (!(error.of_terms <= 1e-4)) return state.SkipWithError("wrong result");
  state.counters["relative_error"] = error.of_output;
  for (auto _ : state) {
    SeriesDownProjection(units.view, z_rows, u_rows, theta.view(), y_rows, pool, false);
    benchmark::ClobberMemory();
  }
  Report(state, double(theta.view().num_bytes()), 2.0 * m * hidden_size * units.view.num_features(),
         threads);
}

void BM_SeriesDownProjection(benchmark::State& state) {
  RunDownProjection(state, DType::kBF16, state.range(0), BenchUnits(state.range(1), 12),
                    state.range(2), static_cast<int>(state.range(3)));
}

/// Every unit of the same order: what bench/peers compares.
void BM_UniformSeries(benchmark::State& state, DType dtype) {
  const BenchUnits units(state.range(1), state.range(3), /*uniform=*/true);
  RunDownProjection(state, dtype, state.range(0), units, state.range(2),
                    static_cast<int>(state.range(4)));
}

void BM_SeriesFeatures(benchmark::State& state) {
  const int64_t num_units = state.range(0);
  const BenchUnits units(num_units, 12);
  const std::vector<float> z = RandomFloats(num_units, 1, 2.0), u = RandomFloats(num_units, 2);
  std::vector<float> features(units.view.num_features());
  const ConstRows z_rows(z.data(), 1, num_units), u_rows(u.data(), 1, num_units);
  const Rows out(features.data(), 1, units.view.num_features());
  ThreadPool& pool = PoolOf(1);
  for (auto _ : state) {
    SeriesFeatures(units.view, z_rows, u_rows, out, pool);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * out.cols);
}

BENCHMARK(BM_SeriesDownProjection)
    ->ArgNames({"m", "units", "hidden", "threads"})
    ->ArgsProduct({{1, 4, 16, 64, 512}, {1536}, {576}, {1, 2}})
    ->ArgsProduct({{1, 4, 16, 64}, {8192}, {2048}, {1, 2}})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);
void Uniform(benchmark::internal::Benchmark* b) {
  b->ArgNames({"m", "units", "hidden", "order", "threads"})
      ->ArgsProduct({{1, 16, 128}, {8192}, {2048}, {8}, {1, 2}})
      ->ArgsProduct({{1}, {8192}, {2048}, {0, 2, 4, 12, 24}, {1, 2}})
      ->ArgsProduct({{1, 16, 128}, {1536}, {576}, {8}, {1, 2}})
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}
BENCHMARK_CAPTURE(BM_UniformSeries, bf16, DType::kBF16)->Apply(Uniform);
BENCHMARK_CAPTURE(BM_UniformSeries, f16, DType::kF16)->Apply(Uniform);
BENCHMARK_CAPTURE(BM_UniformSeries, q8_0, DType::kQ8_0)->Apply(Uniform);
BENCHMARK(BM_SeriesFeatures)->ArgName("units")->Arg(1536)->Arg(8192);

}  // namespace
}  // namespace unswift

BENCHMARK_MAIN();
