// The code that tells recipients apart, also when several put their copies together: a binary
// Tardos code. Biases and symmetric score: G. Tardos, "Optimal probabilistic fingerprint codes",
// 2003/2008; B. Skoric, S. Katzenbeisser, M. Celik, "Symmetric Tardos fingerprinting codes for
// arbitrary alphabet sizes", 2008.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "unswift/marks/registry.h"

namespace unswift {

/// Symbols of a codeword. An innocent's score is above z with the Gaussian's probability whatever
/// the colluders do; c of them, who put their copies together by the mean, the median or at random,
/// have a z of about 0.9 sqrt(kCodeLength) / c each: 19 for 3, 11 for 5.
inline constexpr int kCodeLength = 4096;
/// From which z on a recipient is named: one innocent in 10^9 gets there.
inline constexpr double kNamedScore = 6.0;

/// Each symbol's probability of a 1, of the arcsine density cut off at kLeastBias.
std::vector<double> SymbolBiases(MarkKey key);
inline constexpr double kLeastBias = 0.02;

/// A recipient's symbols: +1 with the symbol's bias, else -1.
std::vector<int8_t> Codeword(MarkKey recipient, std::span<const double> biases);

/// How well a codeword explains what was found: the symmetric Tardos score in units of its standard
/// deviation over codewords that have nothing to do with `found`. Cost: O(kCodeLength).
/// found: per symbol, any scale; positive for +1, 0 where nothing is known.
double Score(std::span<const double> found, std::span<const double> biases,
             std::span<const int8_t> codeword);

/// Takes out of `found` what all codewords share, their biases: it adds nothing but noise to
/// scores.
void RemoveCommonPart(std::span<double> found, std::span<const double> biases);

/// Probability that an innocent recipient's score is at least z, and that one of `count` is.
double FalsePositive(double z);
double FalsePositiveOfAny(double z, size_t count);

}  // namespace unswift
