// A config.json; and a generation_config.json beside a good one.
#include "fuzz/input.h"
#include "unswift/model/model_config.h"

using namespace unswift;

namespace {

constexpr std::string_view kGood =
    R"({"model_type":"llama","vocab_size":32,"hidden_size":8,"intermediate_size":16,
        "num_hidden_layers":1,"num_attention_heads":2,"max_position_embeddings":64,
        "rms_norm_eps":1e-5,"hidden_act":"silu"})";

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  const auto good = std::as_bytes(std::span(kGood));
  (void)ReadModelConfig({"fuzz", {{"config.json", input}}, nullptr});
  static const bool accepted =
      ReadModelConfig({"fuzz", {{"config.json", good}}, nullptr}).has_value();
  UNSWIFT_CHECK(accepted);
  (void)ReadModelConfig(
      {"fuzz", {{"config.json", good}, {"generation_config.json", input}}, nullptr});
  return 0;
}
