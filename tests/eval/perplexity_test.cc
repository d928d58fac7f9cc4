#include "unswift/eval/perplexity.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/testing/opened_model.h"

namespace unswift {
namespace {

TEST(CutIntoWindows, LastOneIsShorter) {
  const std::vector<int32_t> ids(10);
  EXPECT_EQ(CutIntoWindows(ids, 4).size(), 3u);
  EXPECT_EQ(CutIntoWindows(ids, 4).back().size(), 2u);
  EXPECT_EQ(CutIntoWindows(ids, 4, 8).size(), 2u);
}

TEST(Perplexity, EqualsTheReference) {
  TinyRun run(MakeTinyLlama(2, false));
  std::vector<int32_t> ids;
  for (int i = 0; i < 50; ++i) ids.push_back((3 * i * i + i) % 11);
  const auto windows = CutIntoWindows(ids, 20);
  double expected = 0.0;
  for (const auto& window : windows) {
    const auto logits = ReferenceLogits(run.tiny, {window.begin(), window.end()});
    for (size_t t = 0; t + 1 < window.size(); ++t) {
      double total = 0.0;
      for (double logit : logits[t]) total += std::exp(logit);
      expected += std::log(total) - logits[t][window[t + 1]];
    }
  }
  const auto result = Perplexity(*run.decoder, windows);
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->tokens, 19 + 19 + 9);
  EXPECT_NEAR(result->sum_nll, expected, 1e-4 * expected);
  EXPECT_NEAR(result->perplexity(), std::exp(expected / 47), 1e-4 * std::exp(expected / 47));
}

TEST(Perplexity, NothingToScoreIsAnError) {
  TinyRun run(MakeTinyLlama(2, false));
  const std::vector<int32_t> one = {3};
  EXPECT_FALSE(Perplexity(*run.decoder, CutIntoWindows(one, 4)).has_value());
  EXPECT_FALSE(Perplexity(*run.decoder, {}).has_value());
}

}  // namespace
}  // namespace unswift
