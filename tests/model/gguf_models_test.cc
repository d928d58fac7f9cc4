// GGUF models of every architecture, written by the gguf package from transformers' models, come
// back as those models. scripts/make_gguf_models made the files.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/testing/test_data.h"
#include "unswift/base/digest.h"
#include "unswift/io/json.h"
#include "unswift/io/safetensors.h"
#include "unswift/model/gguf_import.h"

namespace unswift {
namespace {

constexpr char kGolden[] = "tests/golden/gguf";

class GgufModels : public testing::TestWithParam<const char*> {
 protected:
  nlohmann::json Expected() {
    return ReadJsonFile(std::filesystem::path(kGolden) / "models.json").at(GetParam());
  }
  void Import() {
    const std::string file = std::string(kGolden) + "/" + GetParam() + ".gguf";
    const auto report = ImportGguf(file, dir_ / "model", DType::kF32);
    ASSERT_TRUE(report) << report.error().message;
  }
  TempDir dir_;
};

TEST_P(GgufModels, TensorsComeBackBitForBit) {
  Import();
  const nlohmann::json digests = Expected().at("tensors");
  const auto checkpoint = Checkpoint::Open(dir_ / "model");
  ASSERT_TRUE(checkpoint) << checkpoint.error().message;
  EXPECT_EQ(checkpoint->tensors().size(), digests.size());
  for (const auto& [name, digest] : digests.items()) {
    const TensorView* view = checkpoint->Find(name);
    ASSERT_NE(view, nullptr) << name;
    EXPECT_EQ(Sha256Hex({view->data, static_cast<size_t>(view->num_bytes)}), digest) << name;
  }
}

TEST_P(GgufModels, ConfigComesBack) {
  Import();
  const nlohmann::json expected = Expected();
  const nlohmann::json config = ReadJsonFile(dir_ / "model" / "config.json");
  EXPECT_EQ(config.at("architectures"), expected.at("architectures"));
  int compared = 0;
  for (const auto& [key, value] : expected.at("config").items()) {
    // What the file leaves out means the same as null; a window that is off has no size.
    if (!config.contains(key)) {
      EXPECT_TRUE(value.is_null() || key == "layer_types" || key == "sliding_window") << key;
      continue;
    }
    if (value.is_number_float()) {
      // GGUF holds float32.
      EXPECT_NEAR(config.at(key).get<double>(), value.get<double>(),
                  1e-7 * std::abs(value.get<double>()))
          << key;
    } else {
      EXPECT_EQ(config.at(key), value) << key;
    }
    ++compared;
  }
  EXPECT_GE(compared, 8);
}

INSTANTIATE_TEST_SUITE_P(All, GgufModels,
                         testing::Values("llama", "mistral", "qwen2", "qwen3", "phi3", "gemma",
                                         "gemma2", "gemma3", "gpt2", "phi2", "gptneox"));

}  // namespace
}  // namespace unswift
