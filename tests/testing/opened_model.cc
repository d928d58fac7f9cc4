#include "tests/testing/opened_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "unswift/io/json.h"
#include "unswift/model/decoder.h"

namespace unswift {

Model OpenPlainModel(const std::filesystem::path& directory) {
  auto config = ReadModelConfig(directory);
  EXPECT_TRUE(config.has_value()) << config.error().message;
  auto checkpoint = Checkpoint::Open(directory);
  EXPECT_TRUE(checkpoint.has_value()) << checkpoint.error().message;
  auto model = Model::Bind(std::move(*config), std::move(*checkpoint));
  EXPECT_TRUE(model.has_value()) << model.error().message;
  return std::move(*model);
}

std::vector<int32_t> TinyText(const TinyModel& tiny, int start) {
  std::vector<int32_t> ids;
  const int vocab = tiny.config["vocab_size"];
  for (int i = 0; i < 30; ++i) ids.push_back((start * i * i + 5 * i + start) % vocab);
  return ids;
}

double LargestLogitError(const Model& model, const TinyModel& tiny, const std::vector<int32_t>& ids,
                         ThreadPool& pool) {
  Decoder decoder(model, pool);
  const auto cache = decoder.MakeCache();
  const auto expected = ReferenceLogits(tiny, ids);
  const SequenceInput input{cache.get(), ids};
  const ConstRows hidden = decoder.Forward({&input, 1}).value();
  const int64_t vocab = model.config().vocab_size;
  std::vector<float> logits(hidden.rows * vocab);
  decoder.Logits(hidden, Rows(logits.data(), hidden.rows, vocab));
  double error = 0.0;
  for (int64_t r = 0; r < hidden.rows; ++r) {
    for (int64_t i = 0; i < vocab; ++i) {
      error = std::max(error, std::abs(logits[r * vocab + i] - expected[r][i]));
    }
  }
  return error;
}

}  // namespace unswift
