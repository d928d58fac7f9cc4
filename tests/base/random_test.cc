#include "unswift/base/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace unswift {
namespace {

// Computed by a second implementation of SplitMix64 (itself checked against the published first
// value of seed 0, e220a8397b1dcdaf) and of the seeding rule.
TEST(Random, KnownValues) {
  struct Row {
    uint64_t seed, stream;
    uint64_t values[3];
  };
  const Row rows[] = {
      {0, 0, {0xac915b3bc5a9d5adull, 0x366e75ce37efd34cull, 0x21ec4bca68a1c66aull}},
      {1, 0, {0xd2a11007557b26caull, 0x5ec55e5dd2e17c3cull, 0x446100860edcc0e6ull}},
      {0, 1, {0xc9697e2f1ef71675ull, 0x514a07ab36cc0af4ull, 0xd00ace04e383eb3eull}},
      {12345, 678, {0xca0bee43dc733e74ull, 0xcb4186422cd77bc9ull, 0x58055b00014455bdull}},
  };
  for (const Row& row : rows) {
    Random random(row.seed, row.stream);
    for (uint64_t value : row.values) EXPECT_EQ(random.NextU64(), value) << row.seed;
  }
  Random random(0);
  EXPECT_EQ(random.NextUniform(), static_cast<double>(0xac915b3bc5a9d5adull >> 11) * 0x1p-53);
}

TEST(Random, UniformFillsTheUnitInterval) {
  Random random(7);
  constexpr int kDraws = 200'000;
  double sum = 0, least = 1, most = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double value = random.NextUniform();
    ASSERT_GE(value, 0.0);
    ASSERT_LT(value, 1.0);
    sum += value;
    least = std::min(least, value);
    most = std::max(most, value);
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 5 / std::sqrt(12.0 * kDraws));  // five standard errors
  EXPECT_LT(least, 1e-4);
  EXPECT_GT(most, 1 - 1e-4);
}

TEST(Random, NormalHasTheMomentsOfANormal) {
  Random random(8, 3);
  constexpr int kDraws = 200'000;
  double sum = 0, squares = 0, fourth = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double value = random.NextNormal();
    ASSERT_TRUE(std::isfinite(value));
    sum += value;
    squares += value * value;
    fourth += value * value * value * value;
  }
  const double error = 5 / std::sqrt(kDraws);
  EXPECT_NEAR(sum / kDraws, 0.0, error);
  EXPECT_NEAR(squares / kDraws, 1.0, error * std::sqrt(2.0));
  EXPECT_NEAR(fourth / kDraws, 3.0, error * std::sqrt(96.0));
}

TEST(Random, BelowIsInRangeAndEven) {
  Random random(9);
  EXPECT_EQ(random.NextBelow(1), 0u);
  constexpr int kBound = 7, kDraws = 70'000;
  std::vector<int> counts(kBound);
  for (int i = 0; i < kDraws; ++i) {
    const uint64_t value = random.NextBelow(kBound);
    ASSERT_LT(value, kBound);
    ++counts[value];
  }
  for (int count : counts) EXPECT_NEAR(count, kDraws / kBound, 5 * std::sqrt(kDraws / kBound));
  // A remainder alone would take the lower third of this range twice as often.
  constexpr uint64_t kLarge = 3ull << 62;
  int low = 0;
  for (int i = 0; i < kDraws; ++i) {
    const uint64_t value = random.NextBelow(kLarge);
    ASSERT_LT(value, kLarge);
    low += value < kLarge / 3;
  }
  EXPECT_NEAR(low, kDraws / 3.0, 5 * std::sqrt(kDraws * 2.0 / 9));
}

TEST(Random, StreamsAreApart) {
  Random a(5, 0), b(5, 1), c(6, 0);
  int equal = 0;
  for (int i = 0; i < 1000; ++i) {
    const uint64_t x = a.NextU64(), y = b.NextU64(), z = c.NextU64();
    equal += x == y || x == z || y == z;
  }
  EXPECT_EQ(equal, 0);
}

}  // namespace
}  // namespace unswift
