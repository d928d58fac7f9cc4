#include "unswift/runtime/generation.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/testing/opened_model.h"

namespace unswift {
namespace {

using Ids = std::vector<int32_t>;

class GenerationTest : public testing::Test {
 protected:
  Generated Run(const Ids& prompt, const GenerationOptions& options, const TextFn& on_text = {}) {
    const auto cache = run_.decoder->MakeCache();
    auto result = Generate(*run_.decoder, tokenizer_, *cache, prompt, options, on_text);
    EXPECT_TRUE(result.has_value()) << result.error().message;
    return std::move(*result);
  }

  TinyRun run_{MakeTinyLlama(11, false)};
  Tokenizer tokenizer_ = Tokenizer::Open(run_.directory.path()).value();
};

TEST_F(GenerationTest, GreedyFollowsTheReference) {
  GenerationOptions options;
  options.max_new_tokens = 20;
  const Generated result = Run({1, 4, 2}, options);
  Ids ids = {1, 4, 2};
  for (int32_t id : result.ids) {
    const auto last = ReferenceLogits(run_.tiny, ids).back();
    EXPECT_EQ(id, std::max_element(last.begin(), last.end()) - last.begin());
    ids.push_back(id);
  }
  EXPECT_EQ(result.ids.size(), 20u);
  EXPECT_EQ(result.finish_reason, "length");
  EXPECT_EQ(result.prefill.tokens, 3);
  EXPECT_EQ(result.decode.tokens, 19);
  std::string text;
  for (int32_t id : result.ids) text += static_cast<char>('a' + id);
  EXPECT_EQ(result.text, text);
}

TEST_F(GenerationTest, StopIdsAndStopStrings) {
  GenerationOptions options;
  options.max_new_tokens = 20;
  const Generated free = Run({1, 4, 2}, options);
  GenerationOptions by_id = options;
  by_id.stop_ids = {free.ids[6]};
  const Generated stopped = Run({1, 4, 2}, by_id);
  const size_t at = std::find(free.ids.begin(), free.ids.end(), free.ids[6]) - free.ids.begin();
  EXPECT_EQ(stopped.ids, Ids(free.ids.begin(), free.ids.begin() + at));
  EXPECT_EQ(stopped.finish_reason, "stop");

  GenerationOptions by_text = options;
  by_text.stop_strings = {"never there", free.text.substr(5, 3)};
  std::string streamed;
  const Generated cut = Run({1, 4, 2}, by_text, [&](const std::string& piece) {
    streamed += piece;
    return true;
  });
  EXPECT_EQ(cut.text, free.text.substr(0, free.text.find(by_text.stop_strings[1])));
  EXPECT_EQ(streamed, cut.text);  // nothing of the stop string was shown
  EXPECT_EQ(cut.finish_reason, "stop");
}

TEST_F(GenerationTest, HeldBackTextIsGivenAtTheEnd) {
  GenerationOptions options;
  options.max_new_tokens = 8;
  const Generated free = Run({3}, options);
  options.stop_strings = {free.text.substr(6) + "zzz"};  // begins to match, never completes
  EXPECT_EQ(Run({3}, options).text, free.text);
}

TEST_F(GenerationTest, TheCallerCanStop) {
  GenerationOptions options;
  int pieces = 0;
  const Generated result = Run({1}, options, [&](const std::string&) { return ++pieces < 4; });
  EXPECT_EQ(result.ids.size(), 4u);
}

TEST_F(GenerationTest, TheContextEndsARun) {
  GenerationOptions options;
  options.max_new_tokens = 1000;
  const Generated result = Run(Ids(60, 1), options);
  EXPECT_EQ(result.ids.size(), 5u);  // 64 positions: 60 of the prompt, 4 more fed back, 5 picked
  EXPECT_EQ(result.finish_reason, "length");
  const auto cache = run_.decoder->MakeCache();
  EXPECT_FALSE(Generate(*run_.decoder, tokenizer_, *cache, Ids(65, 1), options).has_value());
  EXPECT_FALSE(Generate(*run_.decoder, tokenizer_, *cache, Ids(), options).has_value());
}

TEST_F(GenerationTest, ABatchEqualsSingleRuns) {
  const std::vector<Ids> prompts = {{1, 2}, {3}, {4, 5, 6, 7, 8}, {9, 1, 1}, {2}};
  GenerationOptions options;
  options.max_new_tokens = 12;
  for (int64_t batch : {1, 2, 16}) {
    const auto results =
        GenerateBatch(*run_.decoder, prompts, options.max_new_tokens, options.sampling, batch);
    ASSERT_TRUE(results.has_value());
    for (size_t p = 0; p < prompts.size(); ++p) {
      EXPECT_EQ((*results)[p], Run(prompts[p], options).ids) << p << " of batch " << batch;
    }
  }
}

}  // namespace
}  // namespace unswift
