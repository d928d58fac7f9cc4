#include "unswift/model/model.h"

#include <gtest/gtest.h>

#include "tests/testing/test_data.h"
#include "tests/testing/tiny_model.h"

namespace unswift {
namespace {

Result<Model> Bind(TinyModel tiny, Conv1dWeights conv1d = Conv1dWeights::kTranspose) {
  // The mapping outlives the directory's name.
  const TempDir directory;
  WriteTinyModel(tiny, directory.path());
  UNSWIFT_ASSIGN_OR_RETURN(ModelConfig config, ReadModelConfig(directory.path()));
  UNSWIFT_ASSIGN_OR_RETURN(Checkpoint checkpoint, Checkpoint::Open(directory.path()));
  return Model::Bind(std::move(config), std::move(checkpoint), {}, conv1d);
}

TEST(ModelBind, CountsParametersAndBytesPerToken) {
  const auto tied = Bind(MakeTinyLlama(1, true));
  const auto untied = Bind(MakeTinyLlama(1, false));
  ASSERT_TRUE(tied.has_value() && untied.has_value());
  EXPECT_EQ(untied->num_parameters(), tied->num_parameters() + 11 * 16);
  EXPECT_EQ(tied->weight_bytes_per_token(), 4 * tied->num_parameters());
  // Untied: the embedding gives one row only.
  EXPECT_EQ(untied->weight_bytes_per_token(), 4 * (untied->num_parameters() - 10 * 16));
}

TEST(ModelBind, TensorsThatNothingNamesAreNotRead) {
  TinyModel tiny = MakeTinyGpt2(1);
  const auto bare = Bind(tiny);
  tiny.tensors["transformer.h.0.attn.bias"] = std::vector<float>(1024, 1.0f);
  tiny.shapes["transformer.h.0.attn.bias"] = {1, 1, 32, 32};
  const auto with_mask = Bind(tiny);
  ASSERT_TRUE(bare.has_value() && with_mask.has_value());
  EXPECT_EQ(with_mask->weight_bytes_per_token(), bare->weight_bytes_per_token());
}

TEST(ModelBind, Conv1dIsTransposedOrKept) {
  const TinyModel tiny = MakeTinyGpt2(1);
  const auto transposed = Bind(tiny), kept = Bind(tiny, Conv1dWeights::kKeep);
  ASSERT_TRUE(transposed.has_value() && kept.has_value());
  const MatrixView& up = transposed->layers()[1].mlp.up_proj.weight;
  const MatrixView& stored = kept->layers()[1].mlp.up_proj.weight;
  ASSERT_EQ(up.rows, 48);
  ASSERT_EQ(stored.rows, 12);
  for (int64_t i = 0; i < 48; ++i) {
    for (int64_t k = 0; k < 12; ++k) {
      EXPECT_EQ(reinterpret_cast<const float*>(up.row(i))[k],
                reinterpret_cast<const float*>(stored.row(k))[i]);
    }
  }
}

TEST(ModelBind, FindsNamesWithoutTheHeadsPrefix) {
  TinyModel tiny = MakeTinyGpt2(1), bare = tiny;
  bare.tensors.clear();
  bare.shapes.clear();
  for (const auto& [name, values] : tiny.tensors) {
    const std::string short_name = name.substr(std::string("transformer.").size());
    bare.tensors[short_name] = values;
    bare.shapes[short_name] = tiny.shapes[name];
  }
  const auto model = Bind(tiny), unprefixed = Bind(bare);
  ASSERT_TRUE(unprefixed.has_value()) << unprefixed.error().message;
  EXPECT_EQ(unprefixed->num_parameters(), model->num_parameters());
  EXPECT_EQ(unprefixed->final_norm().weight, model->final_norm().weight);
  EXPECT_EQ(LayerPrefix(*unprefixed->config().architecture, 1), "h.1.");
}

TEST(ModelBind, ErrorsNameTheTensor) {
  const std::string name = "model.layers.1.self_attn.k_proj.weight";
  TinyModel missing = MakeTinyLlama(1, true);
  missing.tensors.erase(name);
  missing.shapes.erase(name);
  TinyModel shape = MakeTinyLlama(1, true);
  shape.shapes[name] = {16, 8};
  for (const TinyModel& tiny : {missing, shape}) {
    const auto model = Bind(tiny);
    ASSERT_FALSE(model.has_value());
    EXPECT_NE(model.error().message.find(name), std::string::npos) << model.error().message;
  }
  TinyModel nan = MakeTinyLlama(1, true);
  nan.tensors["model.norm.weight"][3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_NE(Bind(nan).error().message.find("model.norm.weight"), std::string::npos);
}

}  // namespace
}  // namespace unswift
