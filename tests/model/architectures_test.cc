// Every architecture against transformers: the fixtures of scripts/make_architecture_fixtures.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "tests/testing/opened_model.h"
#include "tests/testing/test_data.h"
#include "unswift/io/json.h"
#include "unswift/model/decoder.h"
#include "unswift/ops/logits.h"
#include "unswift/tensor/convert.h"

namespace unswift {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<int32_t>;
using Logits = std::vector<std::vector<float>>;

const char kFixtures[] = "tests/golden/architectures";

std::vector<std::string> FixtureNames() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kFixtures)) {
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

struct GoldenPrompt {
  Ids ids, greedy;
  Logits logits;  // of every position
};

/// A copy of a checkpoint with every tensor rounded to bfloat16.
void WriteBf16(const fs::path& source, const fs::path& target) {
  fs::copy_file(source / "config.json", target / "config.json");
  const SafetensorsFile file = SafetensorsFile::Open(source / "model.safetensors").value();
  std::vector<TensorSpec> specs;
  for (const auto& [name, view] : file.tensors()) specs.push_back({name, DType::kBF16, view.shape});
  auto writer = SafetensorsWriter::Create(target / "model.safetensors", specs).value();
  for (const auto& [name, view] : file.tensors()) {
    std::vector<float> values(view.num_elements());
    RowToF32(view.dtype, view.data, values);
    std::vector<std::byte> bytes(2 * values.size());
    RowFromF32(DType::kBF16, values, bytes.data());
    ASSERT_TRUE(writer.Append(bytes).has_value());
  }
  ASSERT_TRUE(writer.Finish().has_value());
}

class ArchitectureTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const Json golden = ReadJsonFile(directory() / "golden.json");
    for (const Json& prompt : golden["prompts"]) {
      prompts_.push_back(
          {prompt["ids"].get<Ids>(), prompt["greedy"].get<Ids>(), prompt["logits"].get<Logits>()});
    }
    ASSERT_EQ(prompts_.size(), 3u);
  }
  fs::path directory() const { return fs::path(kFixtures) / GetParam(); }

  static Logits LogitsOf(Decoder& decoder, ConstRows hidden) {
    const int64_t vocab = decoder.model().config().vocab_size;
    Logits rows(hidden.rows, std::vector<float>(vocab));
    for (int64_t r = 0; r < hidden.rows; ++r) {
      decoder.Logits(hidden.Slice(r, 1), Rows(rows[r].data(), 1, vocab));
    }
    return rows;
  }

  /// Logits of every position, run in passes of `chunk` tokens.
  static Logits Run(Decoder& decoder, KvCache& cache, const Ids& ids, size_t chunk) {
    Logits all;
    for (size_t begin = 0; begin < ids.size(); begin += chunk) {
      const std::span<const int32_t> part =
          std::span(ids).subspan(begin, std::min(chunk, ids.size() - begin));
      const SequenceInput input{&cache, part, static_cast<int64_t>(ids.size())};
      const auto hidden = decoder.Forward({&input, 1});
      EXPECT_TRUE(hidden.has_value()) << hidden.error().message;
      for (auto& row : LogitsOf(decoder, *hidden)) all.push_back(std::move(row));
    }
    return all;
  }

  /// Largest difference over max(1, max |expected|).
  static double RelativeError(const Logits& expected, const Logits& actual) {
    double largest = 1.0, error = 0.0;
    EXPECT_EQ(expected.size(), actual.size());
    for (size_t r = 0; r < expected.size(); ++r) {
      EXPECT_EQ(expected[r].size(), actual[r].size());
      for (size_t i = 0; i < expected[r].size(); ++i) {
        largest = std::max<double>(largest, std::abs(expected[r][i]));
        const double difference = std::abs(double{expected[r][i]} - actual[r][i]);
        error = std::isfinite(difference) ? std::max(error, difference) : INFINITY;
      }
    }
    return error / largest;
  }

  std::vector<GoldenPrompt> prompts_;
  ThreadPool pool_{2};
};

TEST_P(ArchitectureTest, PrefillInOneGoInChunksAndTokenByToken) {
  const Model model = OpenPlainModel(directory());
  Decoder decoder(model, pool_);
  for (const GoldenPrompt& prompt : prompts_) {
    for (const size_t chunk : {prompt.ids.size(), size_t{7}, size_t{1}}) {
      const auto cache = decoder.MakeCache();
      EXPECT_LE(RelativeError(prompt.logits, Run(decoder, *cache, prompt.ids, chunk)), 1e-4)
          << prompt.ids.size() << " tokens, " << chunk << " at a time";
    }
  }
}

TEST_P(ArchitectureTest, GreedyIdsAreEqual) {
  const Model model = OpenPlainModel(directory());
  Decoder decoder(model, pool_);
  for (const GoldenPrompt& prompt : prompts_) {
    ASSERT_EQ(prompt.greedy.size(), 64u);
    const auto cache = decoder.MakeCache();
    std::vector<float> last = Run(decoder, *cache, prompt.ids, prompt.ids.size()).back();
    Ids ids;
    while (ids.size() < prompt.greedy.size()) {
      ids.push_back(static_cast<int32_t>(ArgMax(last)));
      const SequenceInput input{cache.get(), {&ids.back(), 1}};
      const auto hidden = decoder.Forward({&input, 1});
      ASSERT_TRUE(hidden.has_value()) << hidden.error().message;
      last = LogitsOf(decoder, *hidden).front();
    }
    EXPECT_EQ(ids, prompt.greedy) << prompt.ids.size() << " tokens";
  }
}

TEST_P(ArchitectureTest, RaggedBatchEqualsSingleRuns) {
  const Model model = OpenPlainModel(directory());
  Decoder decoder(model, pool_);
  // Two passes, so that caches of unequal lengths meet too.
  std::vector<std::unique_ptr<KvCache>> caches, single;
  std::vector<Logits> batched(prompts_.size());
  for (int pass = 0; pass < 2; ++pass) {
    std::vector<SequenceInput> batch;
    std::vector<size_t> members;
    for (size_t i = 0; i < prompts_.size(); ++i) {
      if (pass == 0) caches.push_back(decoder.MakeCache());
      const std::span<const int32_t> ids = prompts_[i].ids;
      const size_t half = (ids.size() + 1) / 2;
      const auto part = pass == 0 ? ids.first(half) : ids.subspan(half);
      if (part.empty()) continue;
      batch.push_back({caches[i].get(), part, static_cast<int64_t>(ids.size())});
      members.push_back(i);
    }
    const auto hidden = decoder.Forward(batch);
    ASSERT_TRUE(hidden.has_value()) << hidden.error().message;
    const Logits rows = LogitsOf(decoder, *hidden);
    auto row = rows.begin();
    for (size_t b = 0; b < batch.size(); ++b) {
      Logits& own = batched[members[b]];
      own.insert(own.end(), row, row + batch[b].ids.size());
      row += batch[b].ids.size();
    }
  }
  for (size_t i = 0; i < prompts_.size(); ++i) {
    const auto cache = decoder.MakeCache();
    const Logits alone = Run(decoder, *cache, prompts_[i].ids, prompts_[i].ids.size());
    EXPECT_LE(RelativeError(alone, batched[i]), 1e-5) << i;
    EXPECT_LE(RelativeError(prompts_[i].logits, batched[i]), 1e-4) << i;
  }
}

TEST_P(ArchitectureTest, CopiedWeightsAreTheSame) {
  Model model = OpenPlainModel(directory());
  Decoder decoder(model, pool_);
  const Ids& ids = prompts_[0].ids;
  const auto before = decoder.MakeCache(), after = decoder.MakeCache();
  const Logits expected = Run(decoder, *before, ids, 1);
  const int64_t bytes = model.weight_bytes_per_token();
  model.CopyWeights(pool_);
  EXPECT_EQ(Run(decoder, *after, ids, 1), expected);
  EXPECT_EQ(model.weight_bytes_per_token(), bytes);
  const std::byte* const head = model.lm_head().data;
  model.CopyWeights(pool_);
  EXPECT_EQ(model.lm_head().data, head);
}

TEST_P(ArchitectureTest, EveryMatrixIsConverted) {
  Model model = OpenPlainModel(directory());
  model.ConvertWeights(DType::kQ8_0, pool_);
  EXPECT_TRUE(model.lm_head().is_packed());
  for (const LayerWeights& layer : model.layers()) {
    for (const LinearWeights* linear :
         {&layer.attention.qkv_proj, &layer.attention.q_proj, &layer.attention.k_proj,
          &layer.attention.v_proj, &layer.attention.o_proj, &layer.mlp.gate_proj,
          &layer.mlp.up_proj, &layer.mlp.down_proj}) {
      EXPECT_TRUE(linear->weight.num_bytes() == 0 || linear->weight.is_packed());
    }
  }
  // Random weights: rounded to eight bits they move logits far more than a trained model's.
  Decoder decoder(model, pool_);
  const auto cache = decoder.MakeCache();
  EXPECT_LE(RelativeError(prompts_[0].logits, Run(decoder, *cache, prompts_[0].ids, 1)), 0.1);
}

TEST_P(ArchitectureTest, Bf16WeightsAreClose) {
  const TempDir rounded;
  WriteBf16(directory(), rounded.path());
  const Model model = OpenPlainModel(rounded.path());
  Decoder decoder(model, pool_);
  for (const GoldenPrompt& prompt : prompts_) {
    for (const size_t chunk : {prompt.ids.size(), size_t{1}}) {
      const auto cache = decoder.MakeCache();
      EXPECT_LE(RelativeError(prompt.logits, Run(decoder, *cache, prompt.ids, chunk)), 2e-2)
          << prompt.ids.size() << " tokens, " << chunk << " at a time";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, ArchitectureTest, testing::ValuesIn(FixtureNames()),
                         [](const auto& info) { return info.param; });

TEST(ArchitectureFixtures, CoverEveryArchitectureAndRopeScaling) {
  std::set<std::string> types;
  std::set<RopeScaling> scalings;
  for (const std::string& name : FixtureNames()) {
    const auto config = ReadModelConfig(fs::path(kFixtures) / name);
    ASSERT_TRUE(config.has_value()) << config.error().message;
    types.emplace(config->architecture->model_type);
    for (const RopeConfig& rope : config->ropes) scalings.insert(rope.scaling);
  }
  for (const std::string& type : SupportedModelTypes()) EXPECT_TRUE(types.contains(type)) << type;
  EXPECT_EQ(scalings.size(), 6u);
}

}  // namespace
}  // namespace unswift
