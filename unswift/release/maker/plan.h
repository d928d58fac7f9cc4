// Which units of which layers are protected, and with which order.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "unswift/base/progress.h"
#include "unswift/base/result.h"
#include "unswift/model/statistics_file.h"
#include "unswift/release/reader/manifest.h"
#include "unswift/series/cost_model.h"
#include "unswift/series/fit.h"

namespace unswift {

enum class Allocation { kAdaptive, kUniform };

inline constexpr double kDefaultSlowdown = 4.0;

struct ProtectOptions {
  // The series.
  bool paper = false;  ///< the paper's Taylor expansion at the midpoint instead of the fit
  SeriesBasis basis = SeriesBasis::kChebyshev;
  SeriesGuard guard = SeriesGuard::kLinear;
  Allocation allocation = Allocation::kAdaptive;
  bool carry_rounding = true;
  DType theta_dtype = DType::kF16;
  bool sign_flip = false;
  uint64_t seed = 0;  ///< of the sign flips
  // How much. At most one is set; without either it is kDefaultSlowdown, or the nearest that the
  // model can reach: where the MLPs are a small part of what a token reads, that is less.
  std::optional<double> slowdown;
  std::optional<double> mean_order;
  std::optional<int64_t> units_per_layer;      ///< those of the smallest range; default all
  std::optional<std::vector<int64_t>> layers;  ///< ascending; default all
  // Provenance, written to the manifest as given.
  int64_t release_version = 0;  ///< 0: none
  std::string preset = "default", recipient, licence, expires;
  std::string generator = "unswift";
  bool replace = false;
};

/// The MLP of one layer of the original as the maker reads it.
struct MlpSource {
  MlpWeights weights;  ///< bound with Conv1dWeights::kKeep
  bool conv1d = false;
  int64_t hidden_size = 0, intermediate_size = 0;
  /// Bias of the pre-activation (of gate_proj, or of a plain MLP's fc1), or empty.
  std::vector<double> z_bias;

  /// D[row, :] widened to float32. Shapes: out [intermediate_size]. Cost for conv1d: a strided
  /// walk.
  void DownRow(int64_t row, std::span<float> out) const;
  /// |D[:, j]|^2 for every unit j. Cost: reads down_proj once.
  std::vector<double> DownColumnNorms(ThreadPool& pool) const;
};

MlpSource MlpSourceOf(const Model& original, int64_t layer);

struct LayerPlan {
  int64_t layer = 0;
  UnitSelection selection;
};

struct ProtectPlan {
  std::vector<LayerPlan> layers;  ///< protected ones, ascending
  double mean_order = 0.0;        ///< of the orders as allocated
  double predicted_slowdown = 0.0;
};

/// Errors: kInvalidArgument (a layer or unit count outside the model, a slowdown out of reach),
/// kInvalidData (statistics of another shape, or that are not finite).
/// Cost: one fit of every candidate unit, and one read of every protected down_proj.
Result<ProtectPlan> MakePlan(const Model& original, const ModelStatistics& statistics,
                             const ProtectOptions& options, ThreadPool& pool,
                             const ProgressFn& progress);

/// The fit of one planned layer, before sign flips.
Result<SeriesFit> FitLayer(const MlpSource& mlp, const LayerStatistics& statistics,
                           const LayerPlan& plan, const ProtectOptions& options,
                           Activation activation, ThreadPool& pool);

FitOptions FitOptionsOf(const ProtectOptions& options, Activation activation, int64_t layer);

}  // namespace unswift
