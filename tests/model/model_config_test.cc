#include "unswift/model/model_config.h"

#include <gtest/gtest.h>

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
  EXPECT_EQ(parsed->rope_theta, 5000.0);
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
      {"num_attention_heads", 5, "hidden_size"},
      {"num_key_value_heads", 3, "num_key_value_heads"},
      {"head_dim", 3, "head_dim"},
      {"rms_norm_eps", 0.0, "rms_norm_eps"},
      {"hidden_act", "relu", "known: silu"},
      {"rope_scaling", {{"rope_type", "yarn"}}, "yarn"},
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
