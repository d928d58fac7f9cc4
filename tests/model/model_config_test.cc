#include "unswift/model/model_config.h"
#include "unswift/io/json.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/testing/test_data.h"
#include "tests/testing/tiny_model.h"

namespace unswift {
namespace {

TEST(ParseModelConfig, ReadsBothArchitectures) {
  const auto llama = ParseModelConfig(MakeTinyLlama(1, true).config, "config.json");
  ASSERT_TRUE(llama.has_value()) << llama.error().message;
  EXPECT_EQ(llama->architecture->name, "LlamaForCausalLM");
  EXPECT_EQ(llama->head_dim, 4);
  EXPECT_EQ(llama->kv_size(), 8);
  EXPECT_TRUE(llama->tie_word_embeddings);
  EXPECT_EQ(llama->eos_token_ids, std::vector<int32_t>{2});
  const auto gpt2 = ParseModelConfig(MakeTinyGpt2(1).config, "config.json");
  ASSERT_TRUE(gpt2.has_value()) << gpt2.error().message;
  EXPECT_EQ(gpt2->intermediate_size, 48);  // n_inner null = 4 n_embd
  EXPECT_EQ(gpt2->num_key_value_heads, 3);
  EXPECT_TRUE(gpt2->mlp_bias);
  EXPECT_EQ(gpt2->hidden_act, Activation::kGeluTanh);
}

TEST(ParseModelConfig, RopeParametersOfNewerFiles) {
  Json config = MakeTinyLlama(1, true).config;
  config.erase("rope_theta");
  config["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 5000.0}};
  const auto parsed = ParseModelConfig(config, "config.json");
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
  EXPECT_EQ(parsed->ropes.at(0).theta, 5000.0);
}

ModelConfig Parse(const Json& json) {
  auto config = ParseModelConfig(json, "config.json");
  EXPECT_TRUE(config.has_value()) << config.error().message;
  return config.value_or(ModelConfig());
}

std::vector<int64_t> Windows(const ModelConfig& config) {
  std::vector<int64_t> windows;
  for (const LayerConfig& layer : config.layers) windows.push_back(layer.window);
  return windows;
}

Json Fixture(const std::string& name) {
  return ReadJsonFile("tests/golden/architectures/" + name + "/config.json");
}

TEST(ParseModelConfig, WindowsByRuleOrByList) {
  Json qwen = Fixture("qwen2");  // 3 layers, a window of 16 from layer 1 on
  EXPECT_EQ(Windows(Parse(qwen)), (std::vector<int64_t>{0, 16, 16}));
  qwen["layer_types"] = {"sliding_attention", "full_attention", "sliding_attention"};
  EXPECT_EQ(Windows(Parse(qwen)), (std::vector<int64_t>{16, 0, 16}));
  qwen["use_sliding_window"] = false;
  EXPECT_EQ(Windows(Parse(qwen)), (std::vector<int64_t>{0, 0, 0}));
  Json mistral = Fixture("mistral");
  EXPECT_EQ(Windows(Parse(mistral)), (std::vector<int64_t>{16, 16, 16}));
  mistral["sliding_window"] = nullptr;
  EXPECT_EQ(Windows(Parse(mistral)), (std::vector<int64_t>{0, 0, 0}));
  EXPECT_EQ(Windows(Parse(Fixture("gemma2"))), (std::vector<int64_t>{16, 0, 16}));
  EXPECT_EQ(Windows(Parse(Fixture("gemma3"))), (std::vector<int64_t>{16, 16, 0, 16}));
  qwen["use_sliding_window"] = true;
  qwen["layer_types"] = {"full_attention"};
  const auto few = ParseModelConfig(qwen, "config.json");
  ASSERT_FALSE(few.has_value());
  EXPECT_NE(few.error().message.find("expected 3 entries"), std::string::npos);
}

TEST(ParseModelConfig, RopesOfOldAndNewFilesAreTheSame) {
  const ModelConfig old_form = Parse(Fixture("gemma3"));
  Json json = Fixture("gemma3");
  for (const char* key : {"rope_theta", "rope_local_base_freq", "rope_scaling"}) json.erase(key);
  json["rope_parameters"] = {
      {"full_attention", {{"rope_type", "linear"}, {"factor", 8.0}, {"rope_theta", 1e6}}},
      {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 1e4}}}};
  const ModelConfig new_form = Parse(json);
  ASSERT_EQ(old_form.ropes.size(), 2u);
  ASSERT_EQ(new_form.ropes.size(), 2u);
  for (int rope : {0, 1}) {
    EXPECT_EQ(RopeFrequencies(old_form.ropes[rope], 1), RopeFrequencies(new_form.ropes[rope], 1));
  }
  EXPECT_EQ(old_form.layers[0].rope, 1);
  EXPECT_EQ(old_form.layers[2].rope, 0);
}

TEST(ParseModelConfig, MissingKeysMeanWhatTheyMeanToTransformers) {
  // As Gemma 3's own file describes its text model.
  const ModelConfig gemma = Parse({{"model_type", "gemma3_text"},
                                   {"hidden_size", 2560},
                                   {"intermediate_size", 10240},
                                   {"num_hidden_layers", 34},
                                   {"rope_scaling", {{"rope_type", "linear"}, {"factor", 8.0}}},
                                   {"sliding_window", 1024}});
  EXPECT_EQ(gemma.vocab_size, 262208);
  EXPECT_EQ(gemma.q_size(), 8 * 256);
  EXPECT_EQ(gemma.kv_size(), 4 * 256);
  EXPECT_EQ(gemma.ropes.at(0).theta, 1e6);
  EXPECT_EQ(gemma.ropes.at(1).theta, 1e4);
  EXPECT_EQ(gemma.layers.at(4).window, 1024);
  EXPECT_EQ(gemma.layers.at(5).window, 0);
  EXPECT_EQ(gemma.layers.at(0).attention_scale, 1.0 / 16.0);
  EXPECT_EQ(gemma.hidden_act, Activation::kGeluTanh);
  EXPECT_TRUE(gemma.tie_word_embeddings);
  Json mistral = Fixture("mistral");
  for (const char* key : {"sliding_window", "num_key_value_heads"}) mistral.erase(key);
  mistral["num_attention_heads"] = 16;
  EXPECT_EQ(Windows(Parse(mistral)), (std::vector<int64_t>{4096, 4096, 4096}));
  EXPECT_EQ(Parse(mistral).num_key_value_heads, 8);
  mistral.erase("hidden_size");  // no file leaves it out
  EXPECT_FALSE(ParseModelConfig(mistral, "config.json").has_value());
}

TEST(ParseModelConfig, Gpt2ScalesItsScoresByFlag) {
  Json json = Fixture("gpt2");  // heads of 8
  EXPECT_DOUBLE_EQ(Parse(json).layers.at(1).attention_scale, 1.0 / std::sqrt(8.0));
  json["scale_attn_by_inverse_layer_idx"] = true;
  EXPECT_DOUBLE_EQ(Parse(json).layers.at(0).attention_scale, 1.0 / std::sqrt(8.0));
  EXPECT_DOUBLE_EQ(Parse(json).layers.at(1).attention_scale, 0.5 / std::sqrt(8.0));
  json["scale_attn_weights"] = false;
  EXPECT_DOUBLE_EQ(Parse(json).layers.at(1).attention_scale, 0.5);
}

TEST(ParseModelConfig, ScalingStretchesTheContext) {
  EXPECT_EQ(Parse(Fixture("llama")).context_length, 128);
  EXPECT_EQ(Parse(Fixture("llama_linear")).context_length, 4 * 32);
  EXPECT_EQ(Parse(Fixture("llama_dynamic")).context_length, 4 * 32);
  EXPECT_EQ(Parse(Fixture("qwen2_yarn")).context_length, 4 * 32);
  EXPECT_EQ(Parse(Fixture("llama_llama3")).context_length, 128);
  EXPECT_EQ(Parse(Fixture("phi3_longrope")).context_length, 128);
}

struct BadConfig {
  const char* key;
  Json value;
  const char* expected_in_message;
};

TEST(ParseModelConfig, ErrorsNameTheFileAndTheKey) {
  const BadConfig cases[] = {
      {"model_type", "lama", "did you mean 'llama'"},
      {"model_type", 7, "model_type"},
      {"hidden_size", 0, "hidden_size"},
      {"hidden_size", -16, "hidden_size"},
      {"hidden_size", 1e18, "hidden_size"},
      {"hidden_size", 16.5, "hidden_size"},
      {"num_hidden_layers", "two", "num_hidden_layers"},
      {"num_hidden_layers", 1 << 30, "expected 1..65536"},
      {"num_attention_heads", 5, "hidden_size"},
      {"num_key_value_heads", 3, "num_key_value_heads"},
      {"head_dim", 3, "head_dim"},
      {"rms_norm_eps", 0.0, "rms_norm_eps"},
      {"hidden_act", "relu", "known: silu"},
      {"rope_scaling", {{"rope_type", "yarm"}}, "did you mean 'yarn'"},
      {"rope_scaling", {{"type", "linear"}}, "factor"},
      {"rope_scaling", {{"type", "linear"}, {"factor", 0.5}}, "factor"},
      {"rope_scaling", {{"type", "longrope"}, {"short_factor", {1.0}}}, "short_factor"},
      {"rope_scaling",
       {{"type", "llama3"}, {"factor", 2.0}, {"low_freq_factor", 4}, {"high_freq_factor", 1}},
       "low_freq_factor"},
      {"rope_scaling",
       {{"type", "yarn"}, {"original_max_position_embeddings", 0}},
       "original_max_position_embeddings"},
      {"rope_theta", 1.0, "rope_theta"},
      {"partial_rotary_factor", 3.0, "head_dim"},
      {"architectures", {"LlamaForSequenceClassification"}, "known: LlamaForCausalLM"},
      {"eos_token_id", {1, -2}, "eos_token_id"},
  };
  for (const BadConfig& bad : cases) {
    Json config = MakeTinyLlama(1, true).config;
    config[bad.key] = bad.value;
    const auto parsed = ParseModelConfig(config, "dir/config.json");
    ASSERT_FALSE(parsed.has_value()) << bad.key << " " << bad.value;
    EXPECT_NE(parsed.error().message.find(bad.expected_in_message), std::string::npos)
        << parsed.error().message;
  }
  EXPECT_FALSE(ParseModelConfig(Json::array(), "config.json").has_value());
}

TEST(ParseModelConfig, ReleasesKeepTheOriginalsType) {
  Json config = MakeTinyLlama(1, true).config;
  config["model_type"] = "unswift";
  EXPECT_FALSE(ParseModelConfig(config, "config.json").has_value());
  config["unswift"] = {{"model_type", "llama"}};
  const auto parsed = ParseModelConfig(config, "config.json");
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
  EXPECT_EQ(parsed->architecture->model_type, "llama");
}

}  // namespace
}  // namespace unswift
