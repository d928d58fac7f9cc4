#include "unswift/audit/mantissa_evidence.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>

#include "unswift/audit/block_kernels.h"
#include "unswift/audit/lowest_order.h"

namespace unswift {
namespace {

// Share of entries that no coefficient explains: the table's are off by up to half a step, and some
// weights are subnormal.
constexpr double kUnexplained = 0.02;
// A coefficient that is this much likelier than all others, in nats, is the one.
constexpr float kConvincing = 40.0f;
// Else all that are not less likely by as much are looked at with all bits of the mantissas, in
// fractions of a step: peaks can be narrower than one.
constexpr double kFineStep = 1.0 / 3.0;
constexpr size_t kMostSharpened = 256;
constexpr size_t kNear = 8;
// Coefficients this near to a power of two (in octaves) can hardly be told from it.
constexpr double kNearPower = 0.08;
// How many deviations (and nats) below the expected likelihood is still plausible.
constexpr double kPlausible = 8.0, kSlack = 20.0;

/// Nearest integer, halves to even, of a number below 2^51: without a call for each.
int RoundToEven(double value) {
  constexpr double kIntegersOnly = 0x1.8p52;
  return static_cast<int>((value + kIntegersOnly) - kIntegersOnly);
}

int64_t Modulo(int64_t value, int64_t by) { return (value % by + by) % by; }

/// The best coefficients of a list, none near a better one.
std::vector<CoefficientEstimate> BestApart(std::vector<CoefficientEstimate> all,
                                           const CoefficientSearch& search) {
  std::sort(all.begin(), all.end(),
            [](const auto& a, const auto& b) { return a.log_likelihood > b.log_likelihood; });
  std::vector<CoefficientEstimate> best;
  for (const CoefficientEstimate& candidate : all) {
    if (std::ssize(best) == search.most) break;
    const bool known = std::any_of(best.begin(), best.end(), [&](const auto& other) {
      return std::abs(candidate.coefficient / other.coefficient - 1.0) < search.apart;
    });
    if (!known) best.push_back(candidate);
  }
  return best;
}

}  // namespace

int MantissaBits(DType dtype) { return dtype == DType::kBF16 ? 7 : dtype == DType::kF16 ? 10 : 0; }

const MantissaEvidence* MantissaEvidence::For(DType theta, DType weight) {
  const int theta_bits = theta == DType::kF32 ? kExactBits : MantissaBits(theta);
  const int weight_bits = MantissaBits(weight);
  if (theta_bits == 0 || weight_bits == 0) return nullptr;
  struct Slot {
    std::once_flag once;
    std::unique_ptr<const MantissaEvidence> made;
  };
  static std::array<Slot, 16 * 16> slots;
  Slot& slot = slots[16 * theta_bits + weight_bits];
  std::call_once(slot.once,
                 [&] { slot.made.reset(new MantissaEvidence(theta_bits, weight_bits)); });
  return slot.made.get();
}

MantissaEvidence::MantissaEvidence(int theta_bits, int weight_bits)
    : theta_bits_(theta_bits),
      weight_bits_(weight_bits),
      table_(static_cast<size_t>(kBins) * 2 * kSteps) {
  const int weights = 1 << weight_bits, per_bin = (1 << theta_bits) / kBins;
  // Logarithms of weights are spread about evenly over an octave.
  for (int m = 0; m < weights; ++m) {
    const double prior = std::log2(1.0 + 1.0 / (weights + m));
    prior_.push_back(static_cast<float>((1.0 - kUnexplained) * prior));
  }
  std::vector<float> share;
  for (int step = 0; step < kSteps; ++step) {
    Shares(std::exp2(static_cast<double>(step) / kSteps), share);
    for (int bin = 0; bin < kBins; ++bin) {
      double sum = 0.0;
      for (int i = 0; i < per_bin; ++i) sum += share[bin * per_bin + i];
      float* row = &table_[static_cast<size_t>(bin) * 2 * kSteps];
      row[step] = row[step + kSteps] = static_cast<float>(std::log(sum));
    }
  }
}

void MantissaEvidence::Shares(double coefficient, std::vector<float>& share) const {
  const int mantissas = 1 << theta_bits_, weights = 1 << weight_bits_;
  int exponent = 0;
  const double c = 2.0 * std::frexp(std::abs(coefficient), &exponent);  // in [1, 2)
  share.assign(mantissas, static_cast<float>(kUnexplained / mantissas));
  for (int m = 0; m < weights; ++m) {
    double product = c * (1.0 + static_cast<double>(m) / weights);
    product = product >= 2.0 ? 0.5 * product : product;
    const int mantissa = RoundToEven((product - 1.0) * mantissas);
    share[mantissa & (mantissas - 1)] += prior_[m];
  }
}

MantissaEvidence::Counts MantissaEvidence::Count(std::span<const float> theta,
                                                 int64_t stride) const {
  const float least = LeastRegular(theta_bits_);
  Counts counts(size_t{1} << theta_bits_, 0.0f);
  for (size_t i = 0; i < theta.size(); i += stride) {
    if (!(std::abs(theta[i]) >= least)) continue;
    const uint32_t half = uint32_t{1} << (22 - theta_bits_);  // rounds f32; others have zeros there
    const uint32_t mantissa = (std::bit_cast<uint32_t>(theta[i]) + half) & 0x7fffff;
    counts[mantissa >> (23 - theta_bits_)] += 1.0f;
  }
  return counts;
}

double MantissaEvidence::LogLikelihood(const Counts& counts, double coefficient,
                                       std::vector<float>& share) const {
  Shares(coefficient, share);
  return WeightedLogs(counts, share);
}

bool MantissaEvidence::IsPlausible(const Counts& counts, double coefficient) const {
  std::vector<float> share;
  Shares(coefficient, share);
  double rows = 0.0, likelihood = 0.0, expected = 0.0, square = 0.0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const double log_share = std::log(static_cast<double>(share[i]));
    rows += counts[i], likelihood += counts[i] * log_share;
    expected += share[i] * log_share, square += share[i] * log_share * log_share;
  }
  const double deviation = std::sqrt(rows * std::max(square - expected * expected, 0.0));
  return likelihood > rows * expected - kPlausible * deviation - kSlack;
}

/// What the tables say around a guess; places in steps.
struct MantissaEvidence::Window {
  double centre = 0.0, deviation = 0.0;
  double first = 0.0;
  std::vector<float> evidence;  // of first, first + 1, ...

  double LogPrior(double step) const {
    const double deviations = (step - centre) / deviation;
    return -0.5 * deviations * deviations;
  }
};

std::vector<CoefficientEstimate> MantissaEvidence::Sharpen(const Counts& counts,
                                                           const Window& window,
                                                           const CoefficientSearch& search) const {
  std::vector<float> ranked = window.evidence;
  const size_t last = std::min<size_t>(kMostSharpened, ranked.size()) - 1;
  std::nth_element(ranked.begin(), ranked.begin() + last, ranked.end(), std::greater<>());
  const float best = *std::max_element(ranked.begin(), ranked.end());
  const float enough = std::max(best - kConvincing, ranked[last]);
  std::vector<CoefficientEstimate> all;
  std::vector<float> share;
  for (size_t i = 0; i < window.evidence.size(); ++i) {
    if (window.evidence[i] < enough) continue;
    for (const double fine : {-kFineStep, 0.0, kFineStep}) {
      const double step = window.first + static_cast<double>(i) + fine;
      const double coefficient = std::exp2(step / kSteps);
      all.push_back(
          {coefficient, LogLikelihood(counts, coefficient, share) + window.LogPrior(step)});
    }
  }
  std::vector<CoefficientEstimate> estimates = BestApart(std::move(all), search);
  // Exactly at a power of two theta is the weights themselves: no count can tell it from the
  // coefficients nearby, but the other orders can.
  const double power = std::round(std::log2(estimates[0].coefficient));
  if (std::abs(std::log2(estimates[0].coefficient) - power) < kNearPower) {
    const double coefficient = std::exp2(power);
    estimates.resize(std::min<size_t>(estimates.size(), search.most - 1));
    estimates.push_back(
        {coefficient, LogLikelihood(counts, coefficient, share) + window.LogPrior(power * kSteps)});
  }
  return estimates;
}

std::vector<CoefficientEstimate> MantissaEvidence::Estimate(std::span<const float> theta,
                                                            int64_t stride,
                                                            const CoefficientSearch& search) const {
  const Counts counts = Count(theta, stride);
  std::array<float, kBins> binned{};
  const int per_bin = static_cast<int>(counts.size()) / kBins;
  for (size_t i = 0; i < counts.size(); ++i) binned[i / per_bin] += counts[i];
  Window window;
  window.centre = std::log2(std::abs(search.guess)) * kSteps;
  window.deviation = search.doubt / std::log(2.0) * kSteps;
  const double reach = std::clamp(kDoubtsSearched * window.deviation, 2.0, 0.5 * kSteps);
  window.first = std::ceil(window.centre - reach);
  window.evidence.resize(static_cast<size_t>(std::floor(window.centre + reach) - window.first) + 1);
  const int64_t column = Modulo(static_cast<int64_t>(window.first), kSteps);
  SumOfRows(&table_[column], 2 * kSteps, binned, window.evidence);
  size_t top = 0;
  for (size_t i = 0; i < window.evidence.size(); ++i) {
    window.evidence[i] +=
        static_cast<float>(window.LogPrior(window.first + static_cast<double>(i)));
    if (window.evidence[i] > window.evidence[top]) top = i;
  }
  bool convincing = true;
  for (size_t i = 0; i < window.evidence.size(); ++i) {
    const bool near = i + kNear >= top && i <= top + kNear;
    convincing &= near || window.evidence[i] < window.evidence[top] - kConvincing;
  }
  std::vector<CoefficientEstimate> estimates;
  if (convincing) {
    const double step = window.first + static_cast<double>(top);
    estimates.push_back({std::exp2(step / kSteps), window.evidence[top]});
  } else {
    estimates = Sharpen(counts, window, search);
    const double enough = estimates[0].log_likelihood - kConvincing;
    std::erase_if(estimates, [&](const auto& e) { return e.log_likelihood < enough; });
  }
  for (CoefficientEstimate& estimate : estimates) {
    estimate.plausible = IsPlausible(counts, estimate.coefficient);
    estimate.coefficient = std::copysign(estimate.coefficient, search.guess);
  }
  return estimates;
}

}  // namespace unswift
