#include "unswift/audit/lowest_order.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "unswift/audit/mantissa_evidence.h"

namespace unswift {
namespace {

// Where the coefficient may be around its estimate, relative, and how finely it is told.
constexpr double kReach = 4e-4;
constexpr int kPlaces = 640;
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

/// The place that most rows agree with, from 0; -1 when too few do. Each row agrees with an
/// interval of places; what they have in common is found by counting where intervals begin and end.
double MostAgreed(std::span<const int32_t> first, std::span<const int32_t> last, int lane) {
  std::array<int, kPlaces + 2> change{};
  int used = 0;
  for (size_t i = lane; i < first.size(); i += kAuditLanes) {
    if (first[i] < 0) continue;
    ++used;
    ++change[first[i]];
    --change[last[i]];
  }
  int agree = 0, most = 0, begin = 0, end = 0;
  for (int place = 0; place < kPlaces; ++place) {
    agree += change[place];
    if (agree > most) most = agree, begin = end = place;
    if (agree == most && end == place - 1) end = place;
  }
  return most < kAgreement * used ? -1.0 : 0.5 * (begin + end);
}

}  // namespace

float LeastRegular(int theta_bits) {
  return theta_bits == MantissaBits(DType::kF16) ? 0x1p-14f : 0x1p-110f;
}

void SharpenLowestOrder(const ThetaBlock& block, int theta_bits, const float* snapped,
                        LaneDoubles& coefficient) {
  CoefficientGrid grid;
  grid.places = kPlaces;
  grid.places_per_unit = static_cast<float>(kPlaces / (2.0 * kReach));
  for (int lane = 0; lane < kAuditLanes; ++lane) {
    grid.centre[lane] = static_cast<float>(coefficient[lane]);
  }
  std::vector<int32_t> first(block.rows * kAuditLanes), last(first.size());
  AgreeingCoefficients(block, theta_bits, snapped, grid, first.data(), last.data());
  for (int lane = 0; lane < block.num_units; ++lane) {
    const double place = MostAgreed(first, last, lane);
    if (place < 0.0) continue;
    coefficient[lane] = grid.centre[lane] * (1.0 + kReach * (2.0 * place / kPlaces - 1.0));
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
