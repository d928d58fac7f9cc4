// Activation functions. Compiled once per Highway target.
//
// All three are x P(x) with 0 <= P <= 1, and the error of P is a few float32 roundings:
// |err| <= 6 u |x|, u = 2^-24 (derived in activation_test.cc).
#include "hwy/contrib/math/math-inl.h"
#include "unswift/ops/cpu/simd-inl.h"
#include "unswift/ops/cpu/softcap-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unswift {
namespace HWY_NAMESPACE {

/// x / (1 + exp(-a)). exp overflows to infinity, which is the right limit; its argument is capped
/// where Highway's range ends.
HWY_INLINE F32Vec TimesSigmoid(F32Vec x, F32Vec a) {
  const F32Tag d;
  const auto capped = hn::Min(hn::Neg(a), hn::Set(d, 100.0f));
  return hn::Div(x, hn::Add(hn::Set(d, 1.0f), hn::Exp(d, capped)));
}

struct Silu {
  HWY_INLINE F32Vec operator()(F32Vec x) const { return TimesSigmoid(x, x); }
};

struct GeluTanh {
  // 0.5 (1 + tanh(a)) = sigmoid(2a), 2a = x (c0 + c1 x^2).
  HWY_INLINE F32Vec operator()(F32Vec x) const {
    const F32Tag d;
    const auto inner =
        hn::MulAdd(hn::Set(d, 0.0713548163f), hn::Mul(x, x), hn::Set(d, 1.5957691216f));
    return TimesSigmoid(x, hn::Mul(x, inner));
  }
};

struct GeluErf {
  // The upper tail of the normal distribution is exp(-x^2/2) g(|x|), g(a) = erfcx(a / sqrt 2) / 2.
  // g is a polynomial in s = ca / (1 + ca), times 1 - s: weighted least squares, minimax by
  // reweighting, on a in [0, 14]; relative error 2.5e-8 before rounding. Its constant 1/2 is exact,
  // which keeps the error near 0 at one rounding.
  HWY_INLINE F32Vec operator()(F32Vec x) const {
    const F32Tag d;
    const auto a = hn::Min(hn::Abs(x), hn::Set(d, 14.5f));  // exp(-a^2/2) is 0 from there on
    const auto ca = hn::Mul(a, hn::Set(d, 0.26f));
    const auto t = hn::Div(hn::Set(d, 1.0f), hn::Add(ca, hn::Set(d, 1.0f)));
    const auto s = hn::Mul(ca, t);
    constexpr float kCoefficients[] = {
        -0.09157315641641617f, 0.03636707365512848f, 0.14269927144050598f, -0.034892741590738297f,
        -0.5744745135307312f,  1.1294196844100952f,  -1.0343924760818481f, 0.5f};
    auto g = hn::Set(d, 0.03060629405081272f);
    for (const float c : kCoefficients) g = hn::MulAdd(g, s, hn::Set(d, c));
    const auto half_square = hn::Mul(hn::Mul(a, a), hn::Set(d, -0.5f));
    const auto tail = hn::Mul(hn::Mul(g, t), hn::Exp(d, half_square));
    const auto upper = hn::Sub(hn::Set(d, 1.0f), tail);
    return hn::Mul(x, hn::IfThenElse(hn::Lt(x, hn::Zero(d)), tail, upper));
  }
};

template <class Phi>
void ActivateRow(const float* gate, const float* up, float* y, int64_t n) {
  const Phi phi;
  ForEachVector(n, [&](int64_t i, int64_t count) HWY_ATTR {
    auto v = phi(LoadUpTo(gate + i, count));
    if (up != nullptr) v = hn::Mul(v, LoadUpTo(up + i, count));
    StoreUpTo(v, y + i, count);
  });
}

/// y = phi(gate) * up, or phi(gate) when up is null.
void ActivationRow(Activation activation, const float* gate, const float* up, float* y, int64_t n) {
  switch (activation) {
    case Activation::kSilu:
      return ActivateRow<Silu>(gate, up, y, n);
    case Activation::kGeluErf:
      return ActivateRow<GeluErf>(gate, up, y, n);
    case Activation::kGeluTanh:
      return ActivateRow<GeluTanh>(gate, up, y, n);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace unswift
HWY_AFTER_NAMESPACE();
