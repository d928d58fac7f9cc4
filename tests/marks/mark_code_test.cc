#include "unswift/marks/mark_code.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "unswift/base/random.h"

namespace unswift {
namespace {

using KeyBytes = std::array<std::byte, kMarkKeyBytes>;

KeyBytes KeyOf(uint64_t number) {
  KeyBytes key{};
  for (int i = 0; i < 8; ++i) key[i] = static_cast<std::byte>(number >> (8 * i));
  return key;
}

class CodeTest : public ::testing::Test {
 protected:
  std::vector<int8_t> WordOf(uint64_t recipient) const {
    return Codeword(KeyOf(recipient), biases_);
  }
  double ScoreOf(std::vector<double> found, uint64_t recipient) const {
    RemoveCommonPart(found, biases_);
    return Score(found, biases_, WordOf(recipient));
  }
  /// Recipients 1 to c put their symbols together.
  template <typename Fn>
  std::vector<double> Collude(int c, const Fn& mix) const {
    std::vector<std::vector<int8_t>> words;
    for (int i = 1; i <= c; ++i) words.push_back(WordOf(i));
    std::vector<double> found;
    for (int s = 0; s < kCodeLength; ++s) {
      std::vector<double> symbols;
      for (const auto& word : words) symbols.push_back(word[s]);
      found.push_back(mix(symbols));
    }
    return found;
  }
  void ExpectColludersNamed(const std::vector<double>& found, int c) const {
    for (int i = 1; i <= c; ++i) EXPECT_GE(ScoreOf(found, i), kNamedScore) << i << " of " << c;
    for (int i = 1000; i < 2000; ++i) EXPECT_LT(ScoreOf(found, i), 5.0) << i;
  }

  const KeyBytes key_ = KeyOf(77);
  const std::vector<double> biases_ = SymbolBiases(key_);
};

double Mean(const std::vector<double>& symbols) {
  double sum = 0.0;
  for (double s : symbols) sum += s;
  return sum / static_cast<double>(symbols.size());
}
double Median(std::vector<double> symbols) {
  std::ranges::sort(symbols);
  return symbols[symbols.size() / 2];
}

TEST_F(CodeTest, BiasesFollowTheCutArcsineDensity) {
  ASSERT_EQ(biases_.size(), size_t{kCodeLength});
  double sum = 0.0, product = 0.0;
  for (const double p : biases_) {
    EXPECT_GE(p, kLeastBias);
    EXPECT_LE(p, 1.0 - kLeastBias);
    sum += p;
    product += p * (1.0 - p);
  }
  EXPECT_NEAR(sum / kCodeLength, 0.5, 0.02);
  // 1/8 for the whole arcsine density, more without its ends.
  EXPECT_NEAR(product / kCodeLength, 0.145, 0.01);
}

TEST_F(CodeTest, OneRecipientIsNamed) {
  ExpectColludersNamed(Collude(1, Mean), 1);
  EXPECT_GT(ScoreOf(Collude(1, Mean), 1), 40.0);
}

TEST_F(CodeTest, ThreeAndFiveColludersAreNamed) {
  for (const int c : {3, 5}) {
    ExpectColludersNamed(Collude(c, Mean), c);
    ExpectColludersNamed(Collude(c, Median), c);
    Random random(5);
    const auto pick = [&](const std::vector<double>& symbols) {
      return symbols[random.NextBelow(symbols.size())];
    };
    ExpectColludersNamed(Collude(c, pick), c);
  }
}

TEST_F(CodeTest, NoiseAndUnknownSymbolsLowerScoresWithoutAccusingAnyone) {
  Random random(6);
  std::vector<double> found = Collude(1, Mean);
  for (size_t s = 0; s < found.size(); ++s) {
    found[s] = s % 4 == 0 ? 0.0 : found[s] + 2.0 * random.NextNormal();
  }
  ExpectColludersNamed(found, 1);
}

TEST_F(CodeTest, ScoresOfInnocentsAreStandardNormal) {
  Random random(7);
  std::vector<double> found;
  for (int s = 0; s < kCodeLength; ++s) found.push_back(random.NextNormal());
  double sum = 0.0, square = 0.0;
  constexpr int kCount = 4000;
  for (int i = 0; i < kCount; ++i) {
    const double z = ScoreOf(found, 5000 + i);
    sum += z;
    square += z * z;
  }
  EXPECT_NEAR(sum / kCount, 0.0, 5.0 / std::sqrt(kCount));
  EXPECT_NEAR(square / kCount, 1.0, 0.12);
}

TEST_F(CodeTest, NothingFoundScoresNothing) {
  EXPECT_EQ(ScoreOf(std::vector<double>(kCodeLength, 0.0), 1), 0.0);
}

TEST(FalsePositive, IsTheGaussians) {
  EXPECT_NEAR(FalsePositive(0.0), 0.5, 1e-15);
  EXPECT_NEAR(FalsePositive(6.0) / 9.8659e-10, 1.0, 1e-4);
  EXPECT_NEAR(FalsePositiveOfAny(6.0, 1000) / 9.8659e-7, 1.0, 1e-3);
  EXPECT_NEAR(FalsePositiveOfAny(0.0, 2), 0.75, 1e-12);
}

}  // namespace
}  // namespace unswift
