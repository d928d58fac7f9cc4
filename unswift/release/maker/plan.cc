#include "unswift/release/maker/plan.h"

#include <algorithm>
#include <numeric>

#include "unswift/ops/convert.h"
#include "unswift/series/allocation.h"

namespace unswift {
namespace {

Result<std::vector<int64_t>> ChosenLayers(const ModelConfig& config,
                                          const ProtectOptions& options) {
  if (!options.layers) {
    std::vector<int64_t> all(config.num_hidden_layers);
    std::iota(all.begin(), all.end(), int64_t{0});
    return all;
  }
  if (options.layers->empty() || options.layers->back() >= config.num_hidden_layers) {
    return MakeError(
        ErrorCode::kInvalidArgument, "[protect] layers: expected some of 0-{}, got up to {}",
        config.num_hidden_layers - 1, options.layers->empty() ? -1 : options.layers->back());
  }
  return *options.layers;
}

Result<> CheckStatistics(const ModelConfig& config, const ModelStatistics& statistics) {
  const auto layers = static_cast<int64_t>(statistics.layers.size());
  const int64_t units = layers == 0 ? 0 : statistics.layers.front().num_units;
  if (layers != config.num_hidden_layers || units != config.intermediate_size) {
    return MakeError(ErrorCode::kInvalidData,
                     "[protect] statistics: expected {} layers of {} units, got {} of {}",
                     config.num_hidden_layers, config.intermediate_size, layers, units);
  }
  for (int64_t layer = 0; layer < layers; ++layer) {
    UNSWIFT_RETURN_IF_ERROR(ValidateStatistics(statistics.layers[layer], static_cast<int>(layer)));
  }
  return {};
}

Result<std::vector<int64_t>> ChosenUnits(const LayerStatistics& statistics,
                                         const ProtectOptions& options) {
  const int64_t count = options.units_per_layer.value_or(statistics.num_units);
  if (count < 1 || count > statistics.num_units) {
    return MakeError(ErrorCode::kInvalidArgument, "[protect] units: expected 1..{}, got {}",
                     statistics.num_units, count);
  }
  if (IsQuantized(options.theta_dtype) && count % kQuantBlockSize != 0) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "[protect] units: expected a multiple of {} with a theta of {}, got {}",
                     kQuantBlockSize, DTypeName(options.theta_dtype), count);
  }
  return SmallestRangeUnits(statistics.min, statistics.max, count);
}

double BytesPerElement(DType dtype) {
  return static_cast<double>(BlockBytes(dtype)) / static_cast<double>(BlockElements(dtype));
}

ModelCost CostOf(const Model& original, const std::vector<int64_t>& layers, int64_t units_per_layer,
                 const ProtectOptions& options) {
  ModelCost cost;
  cost.other_bytes = static_cast<double>(original.weight_bytes_per_token());
  const ModelConfig& config = original.config();
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const MatrixView& down = original.layers()[layer].mlp.down_proj.weight;
    LayerCost row;
    row.hidden_size = config.hidden_size;
    row.intermediate_size = config.intermediate_size;
    row.first_order = config.architecture->mlp == MlpKind::kPlain ? 1 : 0;
    row.plain_bytes = BytesPerElement(down.dtype);
    row.theta_bytes = BytesPerElement(options.theta_dtype);
    const bool chosen = std::binary_search(layers.begin(), layers.end(), layer);
    row.protected_units = chosen ? units_per_layer : 0;
    cost.other_bytes -= static_cast<double>(down.num_bytes());
    cost.layers.push_back(row);
  }
  return cost;
}

/// Candidate units of all chosen layers, one after another.
struct Candidates {
  std::vector<int64_t> layers;
  std::vector<std::vector<int64_t>> units;  // per chosen layer
  int64_t count = 0;
};

Result<std::vector<int32_t>> AdaptiveOrders(const Model& original,
                                            const ModelStatistics& statistics,
                                            const Candidates& candidates,
                                            const ProtectOptions& options, int64_t budget,
                                            ThreadPool& pool, const ProgressFn& progress) {
  std::vector<double> errors, weights;
  errors.reserve(candidates.count * (kMaxSeriesOrder + 1));
  for (size_t i = 0; i < candidates.layers.size(); ++i) {
    Report(progress, "fit", static_cast<double>(i) / candidates.layers.size());
    const int64_t layer = candidates.layers[i];
    const MlpSource mlp = MlpSourceOf(original, layer);
    UNSWIFT_ASSIGN_OR_RETURN(
        const std::vector<double> all,
        ErrorsByOrder(statistics.layers[layer],
                      FitOptionsOf(options, original.config().hidden_act, layer), mlp.z_bias,
                      pool));
    const std::vector<double> norms = mlp.DownColumnNorms(pool);
    for (int64_t unit : candidates.units[i]) {
      const auto first = all.begin() + unit * (kMaxSeriesOrder + 1);
      errors.insert(errors.end(), first, first + kMaxSeriesOrder + 1);
      weights.push_back(norms[unit]);
    }
  }
  Report(progress, "fit", 1.0);
  return AllocateOrders(errors, weights, budget);
}

Result<double> WantedMeanOrder(const ModelCost& cost, const ProtectOptions& options) {
  if (!options.mean_order) {
    const double reachable = std::clamp(kDefaultSlowdown, PredictedSlowdown(cost, 1.0),
                                        PredictedSlowdown(cost, double{kMaxSeriesOrder}));
    return MeanOrderForSlowdown(cost, options.slowdown.value_or(reachable), 1, kMaxSeriesOrder);
  }
  const double order = *options.mean_order;
  if (!(order >= 1.0 && order <= kMaxSeriesOrder)) {
    return MakeError(ErrorCode::kInvalidArgument, "[protect] order: expected 1..{}, got {}",
                     kMaxSeriesOrder, order);
  }
  return order;
}

}  // namespace

void MlpSource::DownRow(int64_t row, std::span<float> out) const {
  const MatrixView& down = weights.down_proj.weight;
  if (!conv1d) {
    FastRowToF32(down.dtype, down.row(row), out);
    return;
  }
  const int64_t element = BlockBytes(down.dtype);
  for (int64_t unit = 0; unit < intermediate_size; ++unit) {
    FastRowToF32(down.dtype, down.row(unit) + row * element, out.subspan(unit, 1));
  }
}

std::vector<double> MlpSource::DownColumnNorms(ThreadPool& pool) const {
  // A fixed number of partial sums, so that the result does not depend on the number of threads.
  constexpr int64_t kParts = 16;
  std::vector<std::vector<double>> partial(kParts, std::vector<double>(intermediate_size, 0.0));
  pool.ParallelForDynamic(kParts, [&](int64_t part, int) {
    std::vector<float> row(intermediate_size);
    for (int64_t i = hidden_size * part / kParts; i < hidden_size * (part + 1) / kParts; ++i) {
      DownRow(i, row);
      for (int64_t j = 0; j < intermediate_size; ++j) {
        partial[part][j] += static_cast<double>(row[j]) * row[j];
      }
    }
  });
  for (int64_t part = 1; part < kParts; ++part) {
    for (int64_t j = 0; j < intermediate_size; ++j) partial[0][j] += partial[part][j];
  }
  return std::move(partial[0]);
}

MlpSource MlpSourceOf(const Model& original, int64_t layer) {
  const ModelConfig& config = original.config();
  MlpSource source;
  source.weights = original.layers()[layer].mlp;
  source.conv1d = config.architecture->conv1d;
  source.hidden_size = config.hidden_size;
  source.intermediate_size = config.intermediate_size;
  const bool gated = config.architecture->mlp == MlpKind::kGated;
  const std::vector<float>& bias =
      gated ? source.weights.gate_proj.bias : source.weights.up_proj.bias;
  source.z_bias.assign(bias.begin(), bias.end());
  return source;
}

FitOptions FitOptionsOf(const ProtectOptions& options, Activation activation, int64_t layer) {
  FitOptions fit;
  fit.activation = activation;
  fit.basis = options.basis;
  fit.guard = options.guard;
  fit.layer_idx = static_cast<int>(layer);
  return fit;
}

Result<SeriesFit> FitLayer(const MlpSource& mlp, const LayerStatistics& statistics,
                           const LayerPlan& plan, const ProtectOptions& options,
                           Activation activation, ThreadPool& pool) {
  if (options.paper) {
    PaperOptions paper;
    paper.activation = activation;
    paper.guard = options.guard;
    return PaperFit(statistics.min, statistics.max, paper, plan.selection, mlp.z_bias);
  }
  return FitCoefficients(statistics, FitOptionsOf(options, activation, plan.layer), plan.selection,
                         mlp.z_bias, pool);
}

Result<ProtectPlan> MakePlan(const Model& original, const ModelStatistics& statistics,
                             const ProtectOptions& options, ThreadPool& pool,
                             const ProgressFn& progress) {
  UNSWIFT_RETURN_IF_ERROR(CheckStatistics(original.config(), statistics));
  Candidates candidates;
  UNSWIFT_ASSIGN_OR_RETURN(candidates.layers, ChosenLayers(original.config(), options));
  for (int64_t layer : candidates.layers) {
    UNSWIFT_ASSIGN_OR_RETURN(auto units, ChosenUnits(statistics.layers[layer], options));
    candidates.count += static_cast<int64_t>(units.size());
    candidates.units.push_back(std::move(units));
  }
  const auto units_per_layer = static_cast<int64_t>(candidates.units.front().size());
  const ModelCost cost = CostOf(original, candidates.layers, units_per_layer, options);
  UNSWIFT_ASSIGN_OR_RETURN(const double mean_order, WantedMeanOrder(cost, options));
  const int64_t budget = OrderBudget(mean_order, candidates.count);
  std::vector<int32_t> orders;
  if (options.allocation == Allocation::kUniform) {
    orders = UniformOrders(candidates.count, budget);
  } else {
    UNSWIFT_ASSIGN_OR_RETURN(
        orders, AdaptiveOrders(original, statistics, candidates, options, budget, pool, progress));
  }
  ProtectPlan plan;
  std::vector<int64_t> sums(original.config().num_hidden_layers, 0);
  auto next = orders.begin();
  int64_t surplus = 0;
  for (size_t i = 0; i < candidates.layers.size(); ++i) {
    const std::span<const int32_t> own(&*next, candidates.units[i].size());
    UnitSelection selection = SortByOrder(candidates.units[i], own);
    if (IsQuantized(options.theta_dtype)) {
      EqualiseOrders(selection.orders, kQuantBlockSize, surplus);
    }
    sums[candidates.layers[i]] =
        std::accumulate(selection.orders.begin(), selection.orders.end(), int64_t{0});
    plan.layers.push_back({candidates.layers[i], std::move(selection)});
    next += static_cast<int64_t>(own.size());
  }
  plan.mean_order = static_cast<double>(std::accumulate(sums.begin(), sums.end(), int64_t{0})) /
                    static_cast<double>(candidates.count);
  plan.predicted_slowdown = PredictedSlowdown(cost, sums);
  return plan;
}

}  // namespace unswift
