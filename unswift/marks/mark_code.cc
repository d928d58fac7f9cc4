#include "unswift/marks/mark_code.h"

#include <sodium.h>

#include <cmath>
#include <numbers>

#include "unswift/base/check.h"

namespace unswift {
namespace {

/// kCodeLength uniform numbers in [0, 1) that only the key's holder can know. `use` separates what
/// one key is used for.
std::vector<double> Uniforms(MarkKey key, uint64_t use) {
  std::vector<uint32_t> words(kCodeLength);
  unsigned char nonce[crypto_stream_chacha20_NONCEBYTES];
  static_assert(sizeof(nonce) == sizeof(use) && crypto_stream_chacha20_KEYBYTES == kMarkKeyBytes);
  for (size_t i = 0; i < sizeof(nonce); ++i) nonce[i] = static_cast<unsigned char>(use >> (8 * i));
  crypto_stream_chacha20(reinterpret_cast<unsigned char*>(words.data()),
                         words.size() * sizeof(uint32_t), nonce,
                         reinterpret_cast<const unsigned char*>(key.data()));
  std::vector<double> uniforms;
  for (const uint32_t word : words) uniforms.push_back(word * 0x1p-32);
  return uniforms;
}

constexpr uint64_t kUseBiases = 1, kUseCodeword = 2;

}  // namespace

std::vector<double> SymbolBiases(MarkKey key) {
  const double least = std::asin(std::sqrt(kLeastBias));
  const double span = std::numbers::pi / 2.0 - 2.0 * least;
  std::vector<double> biases = Uniforms(key, kUseBiases);
  for (double& bias : biases) {
    const double root = std::sin(least + span * bias);
    bias = root * root;
  }
  return biases;
}

std::vector<int8_t> Codeword(MarkKey recipient, std::span<const double> biases) {
  const std::vector<double> uniforms = Uniforms(recipient, kUseCodeword);
  std::vector<int8_t> word;
  for (size_t i = 0; i < biases.size(); ++i) word.push_back(uniforms[i] < biases[i] ? 1 : -1);
  return word;
}

double Score(std::span<const double> found, std::span<const double> biases,
             std::span<const int8_t> codeword) {
  UNSWIFT_CHECK(found.size() == biases.size() && found.size() == codeword.size());
  double score = 0.0, variance = 0.0;
  for (size_t i = 0; i < found.size(); ++i) {
    const double odds = std::sqrt((1.0 - biases[i]) / biases[i]);
    score += found[i] * (codeword[i] > 0 ? odds : -1.0 / odds);
    variance += found[i] * found[i];
  }
  return variance > 0.0 ? score / std::sqrt(variance) : 0.0;
}

void RemoveCommonPart(std::span<double> found, std::span<const double> biases) {
  double cross = 0.0, square = 0.0;
  for (size_t i = 0; i < found.size(); ++i) {
    if (found[i] == 0.0) continue;
    const double expected = 2.0 * biases[i] - 1.0;
    cross += found[i] * expected;
    square += expected * expected;
  }
  if (!(square > 0.0)) return;
  for (size_t i = 0; i < found.size(); ++i) {
    if (found[i] != 0.0) found[i] -= cross / square * (2.0 * biases[i] - 1.0);
  }
}

double FalsePositive(double z) { return 0.5 * std::erfc(z / std::numbers::sqrt2); }

double FalsePositiveOfAny(double z, size_t count) {
  return -std::expm1(static_cast<double>(count) * std::log1p(-FalsePositive(z)));
}

}  // namespace unswift
