#include "unswift/series/carry.h"

#include <algorithm>
#include <array>

#include "unswift/base/check.h"
#include "unswift/series/least_squares.h"
#include "unswift/series/unit_problem.h"
#include "unswift/tensor/convert.h"

namespace unswift {
namespace {

constexpr double kRidge = 1e-7;       // relative to the mass of the weights' histogram
constexpr double kCarryReach = 10.0;  // how far the uniform share goes beyond both ends, in z

// U[n, k] from a reversed factor. Column c of it is order N - c, and the projection of column m on
// those before it solves a triangular system.
void SolveCarry(const SeriesSolver& solver, std::span<float> packed) {
  const int order = solver.order();
  std::array<double, kMaxSeriesOrder + 1> c;
  size_t at = 0;
  for (int n = 0; n < order; ++n) {
    const int m = order - n;
    for (int i = m - 1; i >= 0; --i) {
      double sum = solver.r(i, m);
      for (int k = i + 1; k < m; ++k) sum -= solver.r(i, k) * c[k];
      const double diagonal = solver.r(i, i);
      c[i] = diagonal > 0.0 ? sum / diagonal : 0.0;
    }
    for (int k = n + 1; k <= order; ++k) packed[at++] = static_cast<float>(c[order - k]);
  }
  UNSWIFT_CHECK(at == packed.size());
}

}  // namespace

Result<SeriesCarry> MakeCarry(const LayerStatistics& statistics, const FitOptions& options,
                              const SeriesFit& fit, std::span<const double> bias,
                              ThreadPool& pool) {
  UNSWIFT_RETURN_IF_ERROR(ValidateFit(statistics, options, bias));
  if (fit.guard != SeriesGuard::kLinear) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "[make_carry] layer {}: expected the linear guard, got another",
                     options.layer_idx);
  }
  SeriesCarry carry;
  carry.orders = fit.orders;
  carry.offset.assign(1, 0);
  for (const int32_t order : fit.orders) {
    carry.offset.push_back(carry.offset.back() + static_cast<int64_t>(order) * (order + 1) / 2);
  }
  carry.packed.resize(carry.offset.back());
  std::vector<SeriesSolver> solvers;
  for (int i = 0; i < pool.num_threads(); ++i) solvers.emplace_back(fit.basis);
  std::vector<SampleRows> rows(pool.num_threads());
  pool.ParallelForDynamic(fit.num_units(), [&](int64_t i, int thread) {
    const double unit_bias = bias.empty() ? 0.0 : bias[fit.units[i]];
    const UnitInterval interval{fit.centre[i], fit.inv_radius[i]};
    const UnitPoints points =
        PointsOfUnit(statistics, options, fit.units[i], unit_bias, interval, kCarryReach);
    const SampleSource source{options.activation, fit.guard, unit_bias, interval.centre,
                              interval.inv_radius};
    MakeSampleRows(points.bins, source, /*with_values=*/false, rows[thread]);
    solvers[thread].Factor(rows[thread], fit.orders[i], kRidge, /*reversed=*/true);
    SolveCarry(
        solvers[thread],
        std::span(carry.packed).subspan(carry.offset[i], carry.offset[i + 1] - carry.offset[i]));
  });
  return carry;
}

void FlipSigns(SeriesCarry& carry, std::span<const int8_t> sign) {
  UNSWIFT_CHECK(sign.size() == carry.orders.size());
  for (size_t i = 0; i < sign.size(); ++i) {
    int64_t at = carry.offset[i];
    for (int n = 0; n < carry.orders[i]; ++n) {
      for (int k = n + 1; k <= carry.orders[i]; ++k, ++at) {
        if (sign[i] < 0 && (n + k) % 2 != 0) carry.packed[at] = -carry.packed[at];
      }
    }
  }
}

std::vector<std::vector<float>> RoundLanes(const SeriesFit& fit, const SeriesCarry* carry,
                                           std::span<const float> down,
                                           std::span<const int64_t> unit_of_lane, int first_order,
                                           const RoundValues& round) {
  UNSWIFT_CHECK(down.size() == unit_of_lane.size());
  const size_t lanes = down.size();
  int max_order = 0;
  for (const int64_t unit : unit_of_lane) max_order = std::max(max_order, fit.orders[unit]);
  std::vector<std::vector<double>> value(max_order + 1, std::vector<double>(lanes, 0.0));
  std::vector<std::vector<float>> theta(max_order + 1, std::vector<float>(lanes, 0.0f));
  for (size_t l = 0; l < lanes; ++l) {
    const auto a = fit.unit(unit_of_lane[l]);
    for (size_t n = 0; n < a.size(); ++n) value[n][l] = down[l] * a[n];
  }
  for (int n = first_order; n <= max_order; ++n) {
    std::vector<size_t> active;
    std::vector<float> current;
    for (size_t l = 0; l < lanes; ++l) {
      if (fit.orders[unit_of_lane[l]] < n) continue;
      active.push_back(l);
      current.push_back(static_cast<float>(value[n][l]));
    }
    round(current);
    for (size_t i = 0; i < active.size(); ++i) {
      const size_t l = active[i];
      theta[n][l] = current[i];
      if (carry == nullptr) continue;
      const int64_t unit = unit_of_lane[l];
      const double lost = value[n][l] - current[i];
      for (int k = n + 1; k <= fit.orders[unit]; ++k) value[k][l] += lost * carry->at(unit, n, k);
    }
  }
  return theta;
}

RoundValues RoundToDType(DType dtype) {
  return [dtype](std::span<float> values) {
    const int64_t block = BlockElements(dtype);
    const int64_t blocks = (static_cast<int64_t>(values.size()) + block - 1) / block;
    std::vector<float> padded(blocks * block, 0.0f);
    std::copy(values.begin(), values.end(), padded.begin());
    std::vector<std::byte> stored(blocks * BlockBytes(dtype));
    RowFromF32(dtype, padded, stored.data());
    RowToF32(dtype, stored.data(), padded);
    std::copy(padded.begin(), padded.begin() + values.size(), values.begin());
  };
}

}  // namespace unswift
