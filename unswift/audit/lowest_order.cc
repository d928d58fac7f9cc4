#include "unswift/audit/lowest_order.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <vector>

namespace unswift {
namespace {

// Where the coefficient may be around its estimate, relative, and how finely it is told.
constexpr double kReach = 4e-4;
constexpr int kSteps = 640;
// Share of rows that must agree on a coefficient.
constexpr double kAgreement = 0.7;

/// Half a step of a number with so many mantissa bits.
float HalfStep(float value, int bits) {
  const uint32_t exponent = std::bit_cast<uint32_t>(value) & 0x7f800000;
  return std::bit_cast<float>(exponent - (static_cast<uint32_t>(bits + 1) << 23));
}

/// Neighbour of a weight one step away from zero (or towards it).
float Neighbour(float w, int bits, bool away) {
  const uint32_t step = uint32_t{1} << (23 - bits);
  const uint32_t stored = std::bit_cast<uint32_t>(w);
  return std::bit_cast<float>(away ? stored + step : stored - step);
}

/// Whether a stored number can be taken as c w, rounded: neither is zero nor of smaller steps.
bool IsUsable(float theta, float w, float least) { return std::abs(theta) >= least && w != 0.0f; }

bool Explains(double c, float theta, float w, int theta_bits) {
  return std::abs(c * w - theta) <= HalfStep(theta, theta_bits) * (1.0 + 1e-6);
}

/// The coefficient of a lane that most rows agree with; the guess when too few do.
double FindCoefficient(const ThetaBlock& block, int lane, int theta_bits, double guess,
                       const float* w) {
  // Each row agrees with an interval of coefficients; what they have in common is found by counting
  // where intervals begin and end. Places: 0 .. kSteps over guess * (1 -+ kReach).
  std::array<int, kSteps + 2> change{};
  constexpr float kPerStep = kSteps / (2.0 * kReach);
  constexpr float kMiddle = 0.5f * kSteps;
  const auto place = [](float at) {
    return static_cast<int>(std::clamp(at + 1.0f, 0.0f, kSteps + 1.0f));
  };
  int used = 0;
  for (int64_t i = 0; i < block.rows; ++i) {
    const float value = w[i * kAuditLanes + lane], stored = block.at(i)[lane];
    if (!IsUsable(stored, value, LeastRegular(theta_bits))) continue;
    ++used;
    const double inverse = 1.0 / (guess * value);
    const auto off = static_cast<float>((stored * inverse - 1.0) * kPerStep) + kMiddle;
    const float half =
        HalfStep(stored, theta_bits) * static_cast<float>(std::abs(inverse)) * kPerStep;
    ++change[place(off - half)];
    --change[place(off + half)];
  }
  int agree = 0, most = 0, first = 0, last = 0;
  for (int step = 0; step < kSteps; ++step) {
    agree += change[step];
    if (agree > most) most = agree, first = last = step;
    if (agree == most && last == step - 1) last = step;
  }
  if (most < kAgreement * used) return guess;
  const double middle = 0.5 * (first + last);
  return guess * (1.0 + kReach * (2.0 * middle / kSteps - 1.0));
}

}  // namespace

float LeastRegular(int theta_bits) { return theta_bits == 10 ? 0x1p-14f : 0x1p-110f; }

void SharpenLowestOrder(const ThetaBlock& block, int theta_bits, const float* snapped,
                        LaneDoubles& coefficient) {
  for (int lane = 0; lane < block.num_units; ++lane) {
    coefficient[lane] = FindCoefficient(block, lane, theta_bits, coefficient[lane], snapped);
  }
}

void KeepLowestOrder(const ThetaBlock& block, int theta_bits, int weight_bits,
                     const LaneDoubles& coefficient, const float* estimate, float* snapped) {
  const float least = LeastRegular(theta_bits);
  std::vector<uint8_t> doubtful(block.rows);
  FindDoubtfulRows(block, theta_bits, coefficient, snapped, doubtful.data());
  for (int64_t i = 0; i < block.rows; ++i) {
    if (doubtful[i] == 0) continue;
    const float* theta = block.at(i);
    for (int lane = 0; lane < block.num_units; ++lane) {
      const double c = coefficient[lane];
      float& w = snapped[i * kAuditLanes + lane];
      if (c == 0.0 || !IsUsable(theta[lane], w, least)) continue;
      if (Explains(c, theta[lane], w, theta_bits)) continue;
      const bool outwards = std::abs(estimate[i * kAuditLanes + lane]) > std::abs(w);
      const float near = Neighbour(w, weight_bits, outwards);
      const float far = Neighbour(w, weight_bits, !outwards);
      if (Explains(c, theta[lane], near, theta_bits)) {
        w = near;
      } else if (Explains(c, theta[lane], far, theta_bits)) {
        w = far;
      }
    }
  }
}

}  // namespace unswift
