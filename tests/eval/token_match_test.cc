#include "unswift/eval/token_match.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/testing/opened_model.h"

namespace unswift {
namespace {

using Ids = std::vector<int32_t>;

Ids SomeIds() {
  Ids ids;
  for (int i = 0; i < 40; ++i) ids.push_back((7 * i * i + i) % 11);
  return ids;
}

TEST(TeacherForced, AModelEqualsItself) {
  TinyRun a(MakeTinyLlama(3, true)), b(MakeTinyLlama(3, true));
  const Ids ids = SomeIds();
  const auto result = CompareTeacherForced(*a.decoder, *b.decoder, CutIntoWindows(ids, 20)).value();
  EXPECT_EQ(result.tokens, 38);
  EXPECT_EQ(result.top1_agreement, 1.0);
  EXPECT_EQ(result.mean_kl, 0.0);
  EXPECT_TRUE(Holds(result, {}));
}

TEST(TeacherForced, KlAndAgreementOfAChangedModel) {
  TinyModel changed = MakeTinyLlama(3, true);
  for (float& value : changed.tensors["model.layers.1.mlp.down_proj.weight"]) value *= 0.5f;
  TinyRun a(MakeTinyLlama(3, true)), b(changed);
  const Ids ids = SomeIds();
  const auto result = CompareTeacherForced(*a.decoder, *b.decoder, CutIntoWindows(ids, 40)).value();
  const auto p = ReferenceLogits(a.tiny, ids), q = ReferenceLogits(b.tiny, ids);
  double sum = 0.0, largest = 0.0;
  int same = 0;
  for (size_t t = 0; t + 1 < ids.size(); ++t) {
    double zp = 0.0, zq = 0.0, kl = 0.0;
    for (size_t i = 0; i < p[t].size(); ++i) zp += std::exp(p[t][i]), zq += std::exp(q[t][i]);
    for (size_t i = 0; i < p[t].size(); ++i) {
      kl += std::exp(p[t][i]) / zp * (p[t][i] - std::log(zp) - q[t][i] + std::log(zq));
    }
    sum += kl;
    largest = std::max(largest, kl);
    same += std::max_element(p[t].begin(), p[t].end()) - p[t].begin() ==
            std::max_element(q[t].begin(), q[t].end()) - q[t].begin();
  }
  EXPECT_NEAR(result.mean_kl, sum / 39, 1e-4 * sum / 39);
  EXPECT_NEAR(result.max_kl, largest, 1e-4 * largest);
  EXPECT_DOUBLE_EQ(result.top1_agreement, same / 39.0);
  EXPECT_FALSE(Holds(result, {}));
}

TEST(Greedy, FirstDifferencesCarryTheMargin) {
  TinyModel changed = MakeTinyLlama(3, true);
  for (float& value : changed.tensors["model.layers.1.mlp.down_proj.weight"]) value *= 0.2f;
  TinyRun a(MakeTinyLlama(3, true)), b(changed);
  const std::vector<Ids> prompts = {{1, 2, 3}, {4}, {5, 6}, {7}, {8, 9}, {10}};
  const auto same = CompareGreedy(*a.decoder, *a.decoder, prompts, 20).value();
  EXPECT_EQ(same.identical, 6);
  EXPECT_EQ(same.equal_tokens, same.tokens);
  EXPECT_TRUE(Holds(same, {}));
  const auto result = CompareGreedy(*a.decoder, *b.decoder, prompts, 20).value();
  ASSERT_FALSE(result.first_differences.empty());
  EXPECT_EQ(result.identical + static_cast<int64_t>(result.first_differences.size()), 6);
  const FirstDifference& first = result.first_differences.front();
  Ids ids = prompts[first.prompt];
  for (int64_t i = 0; i <= first.position; ++i) {
    std::vector<double> logits = ReferenceLogits(a.tiny, ids).back();
    const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
    if (i == first.position) {
      std::sort(logits.rbegin(), logits.rend());
      EXPECT_NEAR(first.margin, logits[0] - logits[1], 1e-4);
    }
    ids.push_back(static_cast<int32_t>(best));
  }
  MatchLimits strict;
  strict.max_margin = first.margin / 2;
  EXPECT_FALSE(Holds(result, strict));
}

TEST(Compare, DifferentVocabulariesAreAnError) {
  TinyRun a(MakeTinyLlama(3, true)), b(MakeTinyGpt2(3));
  EXPECT_FALSE(CompareGreedy(*a.decoder, *b.decoder, {{1}}, 3).has_value());
  const Ids ids = {1, 2, 3};
  EXPECT_FALSE(CompareTeacherForced(*a.decoder, *b.decoder, CutIntoWindows(ids, 3)).has_value());
}

}  // namespace
}  // namespace unswift
