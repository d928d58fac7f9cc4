// The forward pass against an independent double-precision one, for both architectures.
#include "unswift/model/decoder.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/testing/opened_model.h"
#include "tests/testing/test_data.h"
#include "tests/testing/tiny_model.h"

namespace unswift {
namespace {

using Ids = std::vector<int32_t>;

/// Logits of the positions that one Forward of `ids` adds.
std::vector<std::vector<float>> RunIds(Decoder& decoder, KvCache& cache, const Ids& ids) {
  const SequenceInput input{&cache, ids};
  const auto hidden = decoder.Forward({&input, 1});
  EXPECT_TRUE(hidden.has_value()) << hidden.error().message;
  const int64_t vocab = decoder.model().config().vocab_size;
  std::vector<std::vector<float>> rows(ids.size(), std::vector<float>(vocab));
  for (size_t r = 0; r < rows.size(); ++r) {
    decoder.Logits(hidden->Slice(r, 1), Rows(rows[r].data(), 1, vocab));
  }
  return rows;
}

void ExpectLogits(const std::vector<std::vector<double>>& expected, size_t first,
                  const std::vector<std::vector<float>>& actual, const std::string& what) {
  for (size_t r = 0; r < actual.size(); ++r) {
    for (size_t i = 0; i < actual[r].size(); ++i) {
      // Logits are of order 10 and pass about 40 float32 roundings on their way: 1e-4 is far above
      // that and far below any mistake in the mathematics.
      ASSERT_NEAR(actual[r][i], expected[first + r][i], 1e-4) << what << " row " << r;
    }
  }
}

struct Case {
  const char* name;
  TinyModel (*make)();
  DType dtype;
};

class DecoderTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    tiny_ = GetParam().make();
    WriteTinyModel(tiny_, directory_.path(), GetParam().dtype);
    for (int i = 0; i < 30; ++i) {
      ids_.push_back((i * i + 3 * i + 1) % tiny_.config["vocab_size"].get<int>());
    }
    expected_ = ReferenceLogits(tiny_, ids_);
  }
  TempDir directory_;
  TinyModel tiny_;
  Ids ids_;
  std::vector<std::vector<double>> expected_;
  ThreadPool pool_{2};
};

TEST_P(DecoderTest, PrefillInOneGoChunksAndSteps) {
  const Model model = OpenPlainModel(directory_.path());
  Decoder decoder(model, pool_);
  const auto whole = decoder.MakeCache();
  ExpectLogits(expected_, 0, RunIds(decoder, *whole, ids_), "one go");
  const auto chunked = decoder.MakeCache();
  for (size_t begin = 0; begin < ids_.size(); begin += 7) {
    const size_t end = std::min(begin + 7, ids_.size());
    const Ids part(ids_.begin() + begin, ids_.begin() + end);
    ExpectLogits(expected_, begin, RunIds(decoder, *chunked, part), "chunk");
  }
  const auto stepped = decoder.MakeCache();
  for (size_t i = 0; i < ids_.size(); ++i) {
    ExpectLogits(expected_, i, RunIds(decoder, *stepped, {ids_[i]}), "step");
  }
}

TEST_P(DecoderTest, RaggedBatchEqualsSingleRuns) {
  const Model model = OpenPlainModel(directory_.path());
  Decoder decoder(model, pool_);
  const std::vector<Ids> prompts = {{1, 2, 3, 4, 5}, {7}, {3, 3, 3, 8, 0, 1, 2, 6, 5, 4, 1}};
  std::vector<std::unique_ptr<KvCache>> caches;
  std::vector<SequenceInput> batch;
  for (const Ids& prompt : prompts) {
    caches.push_back(decoder.MakeCache());
    batch.push_back({caches.back().get(), prompt});
  }
  const auto hidden = decoder.Forward(batch);
  ASSERT_TRUE(hidden.has_value());
  const int64_t vocab = model.config().vocab_size;
  std::vector<float> logits(hidden->rows * vocab);
  decoder.Logits(*hidden, Rows(logits.data(), hidden->rows, vocab));
  int64_t row = 0;
  for (const Ids& prompt : prompts) {
    const auto reference = ReferenceLogits(tiny_, prompt);
    for (const auto& expected : reference) {
      for (int64_t i = 0; i < vocab; ++i) {
        ASSERT_NEAR(logits[row * vocab + i], expected[i], 1e-4);
      }
      ++row;
    }
  }
}

TEST_P(DecoderTest, RefusesWhatDoesNotFit) {
  const Model model = OpenPlainModel(directory_.path());
  Decoder decoder(model, pool_);
  const auto cache = decoder.MakeCache();
  const auto refused = [&](const Ids& ids) {
    const SequenceInput input{cache.get(), ids};
    const auto result = decoder.Forward({&input, 1});
    return !result.has_value() && result.error().code == ErrorCode::kInvalidArgument &&
           cache->length() == 0;
  };
  EXPECT_TRUE(refused({}));
  EXPECT_TRUE(refused({-1}));
  EXPECT_TRUE(refused({static_cast<int32_t>(model.config().vocab_size)}));
  EXPECT_TRUE(refused(Ids(model.config().max_position_embeddings + 1, 1)));
  EXPECT_FALSE(decoder.Forward({}).has_value());
}

TEST_P(DecoderTest, SameBitsForAnyNumberOfThreads) {
  const Model model = OpenPlainModel(directory_.path());
  std::vector<std::vector<float>> first;
  for (int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    Decoder decoder(model, pool);
    const auto cache = decoder.MakeCache();
    const auto logits = RunIds(decoder, *cache, ids_);
    if (first.empty()) first = logits;
    EXPECT_EQ(first, logits) << threads;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Architectures, DecoderTest,
    testing::Values(Case{"llama_tied", [] { return MakeTinyLlama(1, true); }, DType::kF32},
                    Case{"llama_bf16", [] { return MakeTinyLlama(2, false); }, DType::kBF16},
                    Case{"llama_f16_biases", [] { return MakeTinyLlama(3, false, true); },
                         DType::kF16},
                    Case{"gpt2", [] { return MakeTinyGpt2(4); }, DType::kF32},
                    Case{"gpt2_bf16", [] { return MakeTinyGpt2(5); }, DType::kBF16}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace unswift
