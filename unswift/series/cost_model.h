// The dial: bytes read per generated token, and the mean order that gives a wanted slowdown.
//
// Decoding one token reads every weight once and is bound by memory traffic, so
//   predicted slowdown = bytes of the protected model / bytes of the plain model.
// Source: docs/equations.md, "Dial".
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "unswift/base/result.h"

namespace unswift {

/// The MLP output projection of one layer.
struct LayerCost {
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t protected_units = 0;  ///< 0 = the layer stays plain
  int first_order = 0;          ///< 0 gated, 1 plain MLP (order 0 lives in the bias)
  double plain_bytes = 2.0;     ///< per stored element of down_proj (1.0625 for q8_0)
  double theta_bytes = 2.0;     ///< per stored element of Theta
};

struct ModelCost {
  std::vector<LayerCost> layers;
  /// Everything else read per token: attention, gate/up or fc1, norms, head, plus the cache if
  /// wanted.
  double other_bytes = 0.0;
};

/// Bytes per token of the original: other_bytes + sum of hidden_size * intermediate_size *
/// plain_bytes.
double PlainBytesPerToken(const ModelCost& cost);

/// Bytes per token of the protected model when layer l's orders sum to sum_of_orders[l]: Theta, the
/// plain remainder of down_proj, and centre and 1/radius (8 bytes per protected unit).
double ProtectedBytesPerToken(const ModelCost& cost, std::span<const int64_t> sum_of_orders);

/// Protected / plain when every layer has the mean order `mean_order`.
double PredictedSlowdown(const ModelCost& cost, double mean_order);
/// The same from the orders themselves.
double PredictedSlowdown(const ModelCost& cost, std::span<const int64_t> sum_of_orders);

/// The least mean order, a multiple of 1 / (number of protected units), that predicts at least
/// `slowdown`.
/// Errors: kInvalidArgument when no order in [min_order, max_order] reaches it (the message has the
///   range that can be reached) or nothing is protected.
Result<double> MeanOrderForSlowdown(const ModelCost& cost, double slowdown, int min_order = 1,
                                    int max_order = 32);

}  // namespace unswift
