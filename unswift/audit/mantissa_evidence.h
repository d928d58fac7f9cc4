// What the stored numbers of one order say about its coefficient.
//
// The lowest stored order of a unit is rounded plainly, whatever the rounding of the others:
// theta[i] = round(c w[i]). The w[i] have few mantissas, so which mantissas theta takes, and how
// often, depends on that of c: some never occur, others twice as often. Counting them finds log2 c
// up to a whole number, to about 3e-4, without any estimate of w. Source: docs/threat_model.md,
// "What an attacker computes".
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "unswift/tensor/dtype.h"

namespace unswift {

/// Explicit bits of a 16-bit type's mantissa; 0 for others, whose numbers form no coarse grid.
int MantissaBits(DType dtype);
/// Bits that are looked at of f32 numbers, whose products are nearly exact.
inline constexpr int kExactBits = 12;

struct CoefficientEstimate {
  double coefficient = 0.0;
  double log_likelihood = 0.0;  ///< with that of the guess, nats
  /// The counts are such as the coefficient would make. Numbers that are no products of the
  /// weights' type are implausible; f16 products can be, too, where the tables' steps are too
  /// coarse for them.
  bool plausible = false;
};

/// How far from a guess a coefficient is looked for, in units of its doubt.
inline constexpr double kDoubtsSearched = 5.0;

/// Where to look for a coefficient, and how many to name.
struct CoefficientSearch {
  double guess = 1.0;
  double doubt = 0.01;  ///< standard deviation of the guess's natural logarithm
  int most = 4;
  double apart = 1.7e-4;  ///< relative; of candidates nearer to each other the best stands for all
};

/// Tables for one pair of types; immutable.
class MantissaEvidence {
 public:
  /// Coefficients per octave in the tables.
  static constexpr int kSteps = 8192;
  /// Mantissas by their first 7 bits, which is mostly enough to tell coefficients apart.
  static constexpr int kBins = 128;

  /// The tables of theta's and the weights' storage type, made at first use (8 MB). Null where a
  /// type has no coarse grid of mantissas.
  static const MantissaEvidence* For(DType theta, DType weight);

  /// The likeliest coefficients behind theta[0], theta[stride], ..., best first: one where it
  /// leaves no doubt, else at most so many. Looks up to half an octave away, since whole octaves
  /// cannot be told apart. Numbers that are zero or subnormal in the type are left out.
  std::vector<CoefficientEstimate> Estimate(std::span<const float> theta, int64_t stride,
                                            const CoefficientSearch& search) const;

  /// Explicit mantissa bits of theta that are looked at.
  int theta_bits() const { return theta_bits_; }

 private:
  /// How often each mantissa occurs, [1 << theta_bits].
  using Counts = std::vector<float>;

  MantissaEvidence(int theta_bits, int weight_bits);
  Counts Count(std::span<const float> theta, int64_t stride) const;
  /// Share of each mantissa that a coefficient makes, [1 << theta_bits].
  void Shares(double coefficient, std::vector<float>& share) const;
  double LogLikelihood(const Counts& counts, double coefficient, std::vector<float>& share) const;
  struct Window;
  std::vector<CoefficientEstimate> Sharpen(const Counts& counts, const Window& window,
                                           const CoefficientSearch& search) const;
  bool IsPlausible(const Counts& counts, double coefficient) const;

  const int theta_bits_, weight_bits_;
  // [1 << weight_bits], share of each mantissa of the weights, in what can be explained.
  std::vector<float> prior_;
  // Log of the share of each bin; two octaves, so that any window is contiguous.
  std::vector<float> table_;  // [kBins, 2 kSteps]
};

}  // namespace unswift
