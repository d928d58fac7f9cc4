#include "unswift/model/model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/testing/opened_model.h"
#include "tests/testing/test_data.h"
#include "tests/testing/tiny_model.h"
#include "unswift/ops/cpu/packed_matmul.h"
#include "unswift/tensor/convert.h"

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

/// Quantises values as a packed matrix of this many columns loses them.
std::vector<float> Quantised(const std::vector<float>& values, int64_t cols, DType dtype) {
  std::vector<float> result;
  for (size_t begin = 0; begin < values.size(); begin += cols) {
    std::vector<float> row(values.begin() + begin, values.begin() + begin + cols);
    row.resize((cols + 31) / 32 * 32);
    std::vector<std::byte> stored(row.size() / 32 * BlockBytes(dtype));
    RowFromF32(dtype, row, stored.data());
    RowToF32(dtype, stored.data(), row);
    result.insert(result.end(), row.begin(), row.begin() + cols);
  }
  return result;
}

/// All weights that ConvertWeights touches, quantised.
void QuantiseTiny(TinyModel& tiny, DType dtype, bool with_embedding) {
  for (auto& [name, values] : tiny.tensors) {
    const bool is_embedding = name.find("embed") != name.npos || name.find("wte") != name.npos;
    if (tiny.shapes[name].size() != 2 || name.find("wpe") != name.npos) continue;
    if (is_embedding && !with_embedding) continue;
    values = Quantised(values, tiny.shapes[name][1], dtype);
  }
}

double LargestDifference(const std::vector<std::vector<double>>& expected, Decoder& decoder,
                         const std::vector<int32_t>& ids) {
  const auto cache = decoder.MakeCache();
  double error = 0.0;
  for (size_t i = 0; i < ids.size(); ++i) {  // token by token: the decode kernel
    const SequenceInput input{cache.get(), {&ids[i], 1}};
    const ConstRows hidden = decoder.Forward({&input, 1}).value();
    std::vector<float> logits(decoder.model().config().vocab_size);
    decoder.Logits(hidden, Rows(logits.data(), 1, static_cast<int64_t>(logits.size())));
    for (size_t k = 0; k < logits.size(); ++k) {
      error = std::max(error, std::abs(logits[k] - expected[i][k]));
    }
  }
  return error;
}

TEST(ConvertWeights, RunsAsTheQuantisedWeightsInDouble) {
  const std::vector<int32_t> ids = {3, 1, 4, 1, 5, 2, 6};
  for (const DType dtype : {DType::kQ8_0, DType::kQ4_0}) {
    for (const bool tied : {true, false}) {
      TinyRun run(MakeTinyLlama(1, tied));
      const int64_t parameters = run.model->num_parameters();
      const ConversionLoss loss = run.model->ConvertWeights(dtype, run.pool);
      EXPECT_GT(loss.relative_rms(), dtype == DType::kQ8_0 ? 1e-3 : 2e-2);
      EXPECT_LT(loss.relative_rms(), dtype == DType::kQ8_0 ? 1e-2 : 2e-1);
      TinyModel quantised = run.tiny;
      QuantiseTiny(quantised, dtype, tied);
      const auto expected = ReferenceLogits(quantised, ids);
      // The integer kernel, where there is one, rounds activations to 15 bits, which the sharp
      // attention of random weights amplifies.
      EXPECT_LT(LargestDifference(expected, *run.decoder, ids), 2e-2) << DTypeName(dtype) << tied;
      AllowVnniForTest(false);
      const double error = LargestDifference(expected, *run.decoder, ids);
      EXPECT_LT(error, 1e-3) << DTypeName(dtype) << tied;
      EXPECT_GT(LargestDifference(ReferenceLogits(run.tiny, ids), *run.decoder, ids), 20 * error);
      AllowVnniForTest(true);
      EXPECT_EQ(run.model->num_parameters(), parameters);
    }
  }
}

TEST(ConvertWeights, TransposedMatricesToo) {
  // Quantised along the inputs, the columns of what the file stores: not what QuantiseTiny does, so
  // only that it stays close and can come back is seen here.
  TinyRun run(MakeTinyGpt2(1));
  const std::vector<int32_t> ids = {3, 1, 4, 1, 5};
  const auto expected = ReferenceLogits(run.tiny, ids);
  run.model->ConvertWeights(DType::kQ8_0, run.pool);
  EXPECT_TRUE(run.model->layers()[1].mlp.up_proj.weight.is_packed());
  EXPECT_LT(LargestDifference(expected, *run.decoder, ids), 0.3);
}

TEST(ConvertWeights, CountsTheBytesThatAreRead) {
  TinyRun run(MakeTinyLlama(1, false));
  run.model->ConvertWeights(DType::kQ8_0, run.pool);
  int64_t bytes = 0;
  for (const LayerWeights& layer : run.model->layers()) {
    for (const LinearWeights* linear :
         {&layer.attention.q_proj, &layer.attention.k_proj, &layer.attention.v_proj,
          &layer.attention.o_proj, &layer.mlp.gate_proj, &layer.mlp.up_proj,
          &layer.mlp.down_proj}) {
      EXPECT_EQ(linear->weight.dtype, DType::kQ8_0);
      bytes += linear->weight.num_bytes();
    }
    bytes += 4 * 2 * 16;  // norms
  }
  bytes += run.model->lm_head().num_bytes() + 4 * 16 + 4 * 16;  // the last norm, an embedding's row
  EXPECT_EQ(run.model->weight_bytes_per_token(), bytes);
  EXPECT_EQ(run.model->embed_tokens().dtype, DType::kF32);
}

}  // namespace
}  // namespace unswift
