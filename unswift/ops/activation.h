// Activation functions of MLPs.
#pragma once

#include <cstdint>

#include "unswift/base/thread_pool.h"
#include "unswift/tensor/rows.h"

namespace unswift {

enum class Activation : uint8_t {
  kSilu,      ///< x * sigmoid(x)
  kGeluErf,   ///< x * Phi(x), "gelu"
  kGeluTanh,  ///< 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), "gelu_new", "gelu_pytorch_tanh"
};

/// phi(x) in double precision: the definition everything else is measured against.
double ActivationValue(Activation activation, double x);

/// y = phi(gate) * up (gated MLP). Shapes: all [m, n]; y may be either input.
void GatedActivation(Activation activation, ConstRows gate, ConstRows up, Rows y, ThreadPool& pool);

/// y = phi(x) (plain MLP). Shapes: [m, n]; y may be x.
void PlainActivation(Activation activation, ConstRows x, Rows y, ThreadPool& pool);

/// x = cap * tanh(x / cap), in place; cap > 0. Shapes: [m, n].
/// |err| <= 10 u |x|, u = 2^-24 (derived in activation_test.cc).
void SoftCap(Rows x, float cap, ThreadPool& pool);

}  // namespace unswift
