#include "unswift/series/fit.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "unswift/base/check.h"
#include "unswift/series/least_squares.h"
#include "unswift/series/normal_equations.h"
#include "unswift/series/unit_problem.h"

namespace unswift {
namespace {

// What one thread reuses from unit to unit.
struct Workspace {
  explicit Workspace(SeriesBasis basis) : solver(basis) {}
  SeriesSolver solver;
  NormalEquations equations;
  SampleRows rows;
};

std::vector<Workspace> MakeWorkspaces(SeriesBasis basis, const ThreadPool& pool) {
  std::vector<Workspace> workspaces;
  for (int i = 0; i < pool.num_threads(); ++i) workspaces.emplace_back(basis);
  return workspaces;
}

double BiasOf(std::span<const double> bias, int64_t unit) {
  return bias.empty() ? 0.0 : bias[unit];
}

// Leaves the unit's least-squares problem in workspace.rows; returns the mass that errors scale
// with.
double MakeUnitRows(const LayerStatistics& statistics, const FitOptions& options, int64_t unit,
                    double bias, Workspace& workspace) {
  const UnitInterval interval = IntervalOfUnit(statistics, options, unit, bias);
  const UnitPoints points = PointsOfUnit(statistics, options, unit, bias, interval, 0.0);
  const SampleSource source{options.activation, options.guard, bias, interval.centre,
                            interval.inv_radius};
  MakeSampleRows(points.bins, source, true, workspace.rows);
  return points.mass;
}

void FactorUnit(int order, Workspace& workspace) {
  workspace.solver.Factor(workspace.rows, order, /*ridge=*/0.0, /*reversed=*/false);
}

// errors[n] = residual of order n of workspace.rows.
void ResidualsOfUnit(const FitOptions& options, std::span<double> errors, Workspace& workspace) {
  const bool bounded = options.guard == SeriesGuard::kLinear;  // positions within [-1, 1]
  if (options.basis == SeriesBasis::kChebyshev && bounded &&
      workspace.equations.Solve(workspace.rows, options.max_order)) {
    for (size_t n = 0; n < errors.size(); ++n) {
      errors[n] = workspace.equations.residual(static_cast<int>(n));
    }
    return;
  }
  FactorUnit(options.max_order, workspace);
  for (size_t n = 0; n < errors.size(); ++n) {
    errors[n] = workspace.solver.residual(static_cast<int>(n));
  }
}

}  // namespace

UnitSelection SortByOrder(std::span<const int64_t> units, std::span<const int32_t> orders) {
  UNSWIFT_CHECK(units.size() == orders.size());
  std::vector<size_t> index(units.size());
  std::iota(index.begin(), index.end(), size_t{0});
  std::sort(index.begin(), index.end(), [&](size_t a, size_t b) {
    return orders[a] != orders[b] ? orders[a] > orders[b] : units[a] < units[b];
  });
  UnitSelection selection;
  for (const size_t i : index) {
    selection.units.push_back(units[i]);
    selection.orders.push_back(orders[i]);
  }
  return selection;
}

Result<std::vector<double>> ErrorsByOrder(const LayerStatistics& statistics,
                                          const FitOptions& options, std::span<const double> bias,
                                          ThreadPool& pool) {
  UNSWIFT_RETURN_IF_ERROR(ValidateFit(statistics, options, bias));
  const int64_t num_units = statistics.num_units;
  const int num_errors = options.max_order + 1;
  std::vector<double> errors(num_units * num_errors);
  std::vector<Workspace> workspaces = MakeWorkspaces(options.basis, pool);
  pool.ParallelForDynamic(num_units, [&](int64_t unit, int thread) {
    Workspace& workspace = workspaces[thread];
    const double mass = MakeUnitRows(statistics, options, unit, BiasOf(bias, unit), workspace);
    const auto of_unit = std::span(errors).subspan(unit * num_errors, num_errors);
    ResidualsOfUnit(options, of_unit, workspace);
    for (double& error : of_unit) error *= mass;
  });
  return errors;
}

Result<SeriesFit> FitCoefficients(const LayerStatistics& statistics, const FitOptions& options,
                                  const UnitSelection& selection, std::span<const double> bias,
                                  ThreadPool& pool) {
  UNSWIFT_RETURN_IF_ERROR(ValidateFit(statistics, options, bias));
  UNSWIFT_CHECK(selection.units.size() == selection.orders.size());
  const int64_t count = static_cast<int64_t>(selection.units.size());
  SeriesFit fit;
  fit.basis = options.basis;
  fit.guard = options.guard;
  fit.units = selection.units;
  fit.orders = selection.orders;
  fit.centre.resize(count);
  fit.inv_radius.resize(count);
  fit.offset.assign(1, 0);
  for (int64_t i = 0; i < count; ++i) {
    UNSWIFT_CHECK(selection.units[i] >= 0 && selection.units[i] < statistics.num_units);
    UNSWIFT_CHECK(selection.orders[i] >= 0 && selection.orders[i] <= kMaxSeriesOrder);
    fit.offset.push_back(fit.offset.back() + selection.orders[i] + 1);
  }
  fit.coefficients.resize(fit.offset.back());
  std::vector<Workspace> workspaces = MakeWorkspaces(options.basis, pool);
  pool.ParallelForDynamic(count, [&](int64_t i, int thread) {
    Workspace& workspace = workspaces[thread];
    const double unit_bias = BiasOf(bias, fit.units[i]);
    const UnitInterval interval = IntervalOfUnit(statistics, options, fit.units[i], unit_bias);
    fit.centre[i] = interval.centre;
    fit.inv_radius[i] = interval.inv_radius;
    MakeUnitRows(statistics, options, fit.units[i], unit_bias, workspace);
    FactorUnit(fit.orders[i], workspace);
    SolveCoefficients(workspace.solver, fit.unit(i));
  });
  return fit;
}

void FlipSigns(SeriesFit& fit, std::span<const int8_t> sign) {
  UNSWIFT_CHECK(static_cast<int64_t>(sign.size()) == fit.num_units());
  for (int64_t i = 0; i < fit.num_units(); ++i) {
    UNSWIFT_CHECK(sign[i] == 1 || sign[i] == -1);
    if (sign[i] > 0) continue;
    fit.centre[i] = -fit.centre[i];
    const std::span<double> a = fit.unit(i);
    for (size_t n = 1; n < a.size(); n += 2) a[n] = -a[n];
  }
}

}  // namespace unswift
