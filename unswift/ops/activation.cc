#include "unswift/ops/activation.h"

#include <cmath>
#include <numbers>

#include "unswift/base/check.h"

namespace unswift {

double ActivationValue(Activation activation, double x) {
  switch (activation) {
    case Activation::kSilu:
      return x / (1.0 + std::exp(-x));
    case Activation::kGeluErf:
      return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);  // erfc: no cancellation for x < 0
    case Activation::kGeluTanh: {
      const double inner = std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x);
      return x / (1.0 + std::exp(-2.0 * inner));  // (1 + tanh(a)) / 2 = 1 / (1 + exp(-2a))
    }
  }
  UNSWIFT_CHECK(false);
}

}  // namespace unswift
