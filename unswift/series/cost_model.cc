#include "unswift/series/cost_model.h"

#include <cmath>

#include "unswift/base/check.h"

namespace unswift {
namespace {

// centre and 1 / radius, float32 each.
constexpr double kIntervalBytes = 8.0;

int64_t ProtectedUnits(const ModelCost& cost) {
  int64_t total = 0;
  for (const LayerCost& layer : cost.layers) total += layer.protected_units;
  return total;
}

double LayerProtectedBytes(const LayerCost& layer, double sum_of_orders) {
  const double hidden = static_cast<double>(layer.hidden_size);
  const double units = static_cast<double>(layer.protected_units);
  const double plain_units = static_cast<double>(layer.intermediate_size) - units;
  const double features = sum_of_orders + units * (1 - layer.first_order);
  return hidden * plain_units * layer.plain_bytes + hidden * features * layer.theta_bytes +
         kIntervalBytes * units;
}

}  // namespace

double PlainBytesPerToken(const ModelCost& cost) {
  double bytes = cost.other_bytes;
  for (const LayerCost& layer : cost.layers) {
    bytes += static_cast<double>(layer.hidden_size) * layer.intermediate_size * layer.plain_bytes;
  }
  return bytes;
}

double ProtectedBytesPerToken(const ModelCost& cost, std::span<const int64_t> sum_of_orders) {
  UNSWIFT_CHECK(sum_of_orders.size() == cost.layers.size());
  double bytes = cost.other_bytes;
  for (size_t l = 0; l < cost.layers.size(); ++l) {
    bytes += LayerProtectedBytes(cost.layers[l], static_cast<double>(sum_of_orders[l]));
  }
  return bytes;
}

double PredictedSlowdown(const ModelCost& cost, double mean_order) {
  double bytes = cost.other_bytes;
  for (const LayerCost& layer : cost.layers) {
    bytes += LayerProtectedBytes(layer, mean_order * static_cast<double>(layer.protected_units));
  }
  return bytes / PlainBytesPerToken(cost);
}

double PredictedSlowdown(const ModelCost& cost, std::span<const int64_t> sum_of_orders) {
  return ProtectedBytesPerToken(cost, sum_of_orders) / PlainBytesPerToken(cost);
}

Result<double> MeanOrderForSlowdown(const ModelCost& cost, double slowdown, int min_order,
                                    int max_order) {
  const int64_t units = ProtectedUnits(cost);
  if (units <= 0) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "[slowdown] expected at least one protected unit, got none");
  }
  const double least = PredictedSlowdown(cost, min_order),
               most = PredictedSlowdown(cost, max_order);
  if (!(slowdown >= least && slowdown <= most)) {
    return MakeError(
        ErrorCode::kInvalidArgument,
        "[slowdown] expected a slowdown that mean orders {} to {} of the protected units "
        "reach, {:.3f} to {:.3f}, got {:.3f}",
        min_order, max_order, least, most, slowdown);
  }
  // Linear in the mean order; the sum of orders is rounded up so that the prediction is reached.
  const double mean = min_order + (max_order - min_order) * (slowdown - least) / (most - least);
  const double total = std::ceil(mean * static_cast<double>(units) - 1e-6);
  return total / static_cast<double>(units);
}

}  // namespace unswift
