#include "tests/testing/tiny_model.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/testing/test_data.h"
#include "unswift/base/random.h"
#include "unswift/io/safetensors.h"
#include "unswift/tensor/convert.h"

namespace unswift {
namespace {

class Builder {
 public:
  Builder(TinyModel& model, uint64_t seed) : model_(model), random_(seed) {}
  void Add(const std::string& name, std::vector<int64_t> shape, double scale, double offset = 0.0) {
    int64_t count = 1;
    for (int64_t dim : shape) count *= dim;
    std::vector<float> values;
    for (int64_t i = 0; i < count; ++i) {
      values.push_back(static_cast<float>(offset + scale * random_.NextNormal()));
    }
    model_.shapes[name] = std::move(shape);
    model_.tensors[name] = std::move(values);
  }

 private:
  TinyModel& model_;
  Random random_;
};

using Vec = std::vector<double>;

/// y[o] = sum_i W[o, i] x[i] + b[o]; W is [in, out] when `conv1d`.
Vec Linear(const TinyModel& model, const std::string& name, const Vec& x, bool conv1d = false) {
  const std::vector<float>& w = model.tensors.at(name + ".weight");
  const std::vector<int64_t>& shape = model.shapes.at(name + ".weight");
  const int64_t out = conv1d ? shape[1] : shape[0], in = conv1d ? shape[0] : shape[1];
  Vec y(out, 0.0);
  for (int64_t o = 0; o < out; ++o) {
    for (int64_t i = 0; i < in; ++i) y[o] += x[i] * w[conv1d ? i * out + o : o * in + i];
  }
  if (const auto bias = model.tensors.find(name + ".bias"); bias != model.tensors.end()) {
    for (int64_t o = 0; o < out; ++o) y[o] += bias->second[o];
  }
  return y;
}

Vec Norm(const TinyModel& model, const std::string& name, const Vec& x, double eps, bool layer) {
  double mean = 0.0, square = 0.0;
  if (layer) {
    for (double value : x) mean += value / x.size();
  }
  for (double value : x) square += (value - mean) * (value - mean) / x.size();
  Vec y;
  for (size_t i = 0; i < x.size(); ++i) {
    y.push_back((x[i] - mean) / std::sqrt(square + eps) * model.tensors.at(name + ".weight")[i]);
    if (layer) y.back() += model.tensors.at(name + ".bias")[i];
  }
  return y;
}

void Rotate(Vec& x, int64_t heads, int64_t position, double theta) {
  const int64_t dim = x.size() / heads;
  for (int64_t head = 0; head < heads; ++head) {
    for (int64_t i = 0; i < dim / 2; ++i) {
      const double angle = position * std::pow(theta, -2.0 * i / dim);
      double& a = x[head * dim + i];
      double& b = x[head * dim + i + dim / 2];
      const double rotated = a * std::cos(angle) - b * std::sin(angle);
      b = b * std::cos(angle) + a * std::sin(angle);
      a = rotated;
    }
  }
}

Vec Attend(const std::vector<Vec>& q, const std::vector<Vec>& k, const std::vector<Vec>& v,
           int64_t position, int64_t heads, int64_t kv_heads) {
  const int64_t dim = q[0].size() / heads;
  Vec out(q[0].size(), 0.0);
  for (int64_t head = 0; head < heads; ++head) {
    const int64_t kv = head / (heads / kv_heads);
    Vec weights;
    double total = 0.0;
    for (int64_t p = 0; p <= position; ++p) {
      double score = 0.0;
      for (int64_t i = 0; i < dim; ++i) score += q[position][head * dim + i] * k[p][kv * dim + i];
      weights.push_back(std::exp(score / std::sqrt(static_cast<double>(dim))));
      total += weights.back();
    }
    for (int64_t p = 0; p <= position; ++p) {
      for (int64_t i = 0; i < dim; ++i) {
        out[head * dim + i] += weights[p] / total * v[p][kv * dim + i];
      }
    }
  }
  return out;
}

void AddTo(Vec& x, const Vec& y) {
  for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
}

double Silu(double x) { return x / (1.0 + std::exp(-x)); }
double GeluTanh(double x) {
  return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
}

/// Token-by-token state of one layer's attention inputs.
struct LayerState {
  std::vector<Vec> q, k, v;
};

std::vector<Vec> LlamaLogits(const TinyModel& m, const std::vector<int32_t>& ids) {
  const int64_t hidden = m.config["hidden_size"], heads = m.config["num_attention_heads"];
  const int64_t kv_heads = m.config["num_key_value_heads"];
  const double eps = m.config["rms_norm_eps"], theta = m.config["rope_theta"];
  std::vector<LayerState> state(m.config["num_hidden_layers"].get<int64_t>());
  std::vector<Vec> logits;
  for (size_t t = 0; t < ids.size(); ++t) {
    const auto row = m.tensors.at("model.embed_tokens.weight").begin() + ids[t] * hidden;
    Vec x(row, row + hidden);
    for (size_t l = 0; l < state.size(); ++l) {
      const std::string p = "model.layers." + std::to_string(l) + ".";
      Vec n = Norm(m, p + "input_layernorm", x, eps, false);
      state[l].q.push_back(Linear(m, p + "self_attn.q_proj", n));
      state[l].k.push_back(Linear(m, p + "self_attn.k_proj", n));
      state[l].v.push_back(Linear(m, p + "self_attn.v_proj", n));
      Rotate(state[l].q.back(), heads, t, theta);
      Rotate(state[l].k.back(), kv_heads, t, theta);
      const Vec a = Attend(state[l].q, state[l].k, state[l].v, t, heads, kv_heads);
      AddTo(x, Linear(m, p + "self_attn.o_proj", a));
      n = Norm(m, p + "post_attention_layernorm", x, eps, false);
      Vec gate = Linear(m, p + "mlp.gate_proj", n);
      const Vec up = Linear(m, p + "mlp.up_proj", n);
      for (size_t i = 0; i < gate.size(); ++i) gate[i] = Silu(gate[i]) * up[i];
      AddTo(x, Linear(m, p + "mlp.down_proj", gate));
    }
    const Vec n = Norm(m, "model.norm", x, eps, false);
    const bool tied = m.config["tie_word_embeddings"];
    logits.push_back(Linear(m, tied ? "model.embed_tokens" : "lm_head", n));
  }
  return logits;
}

std::vector<Vec> Gpt2Logits(const TinyModel& m, const std::vector<int32_t>& ids) {
  const int64_t hidden = m.config["n_embd"], heads = m.config["n_head"];
  const double eps = m.config["layer_norm_epsilon"];
  std::vector<LayerState> state(m.config["n_layer"].get<int64_t>());
  std::vector<Vec> logits;
  for (size_t t = 0; t < ids.size(); ++t) {
    Vec x;
    for (int64_t i = 0; i < hidden; ++i) {
      x.push_back(m.tensors.at("transformer.wte.weight")[ids[t] * hidden + i] +
                  static_cast<double>(m.tensors.at("transformer.wpe.weight")[t * hidden + i]));
    }
    for (size_t l = 0; l < state.size(); ++l) {
      const std::string p = "transformer.h." + std::to_string(l) + ".";
      Vec n = Norm(m, p + "ln_1", x, eps, true);
      const Vec qkv = Linear(m, p + "attn.c_attn", n, true);
      state[l].q.emplace_back(qkv.begin(), qkv.begin() + hidden);
      state[l].k.emplace_back(qkv.begin() + hidden, qkv.begin() + 2 * hidden);
      state[l].v.emplace_back(qkv.begin() + 2 * hidden, qkv.end());
      const Vec a = Attend(state[l].q, state[l].k, state[l].v, t, heads, heads);
      AddTo(x, Linear(m, p + "attn.c_proj", a, true));
      n = Norm(m, p + "ln_2", x, eps, true);
      Vec inner = Linear(m, p + "mlp.c_fc", n, true);
      for (double& value : inner) value = GeluTanh(value);
      AddTo(x, Linear(m, p + "mlp.c_proj", inner, true));
    }
    const bool tied = m.config["tie_word_embeddings"];
    logits.push_back(
        Linear(m, tied ? "transformer.wte" : "lm_head", Norm(m, "transformer.ln_f", x, eps, true)));
  }
  return logits;
}

Json LetterTokenizer(int64_t vocab_size) {
  Json vocab = Json::object();
  for (int64_t i = 0; i < vocab_size; ++i) vocab[std::string(1, static_cast<char>('a' + i))] = i;
  const Json byte_level = {{"type", "ByteLevel"},
                           {"add_prefix_space", false},
                           {"trim_offsets", true},
                           {"use_regex", true}};
  return {{"version", "1.0"},
          {"added_tokens", Json::array()},
          {"normalizer", nullptr},
          {"pre_tokenizer", byte_level},
          {"post_processor", nullptr},
          {"decoder", byte_level},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", Json::array()}}}};
}

}  // namespace

TinyModel MakeTinyLlama(uint64_t seed, bool tied, bool biases, int64_t intermediate_size) {
  TinyModel model;
  model.config = {{"architectures", {"LlamaForCausalLM"}},
                  {"model_type", "llama"},
                  {"vocab_size", 11},
                  {"hidden_size", 16},
                  {"intermediate_size", intermediate_size},
                  {"num_hidden_layers", 2},
                  {"num_attention_heads", 4},
                  {"num_key_value_heads", 2},
                  {"max_position_embeddings", 64},
                  {"rms_norm_eps", 1e-5},
                  {"rope_theta", 10000.0},
                  {"hidden_act", "silu"},
                  {"attention_bias", biases},
                  {"mlp_bias", biases},
                  {"tie_word_embeddings", tied},
                  {"bos_token_id", 1},
                  {"eos_token_id", 2}};
  Builder add(model, seed);
  add.Add("model.embed_tokens.weight", {11, 16}, 1.0);
  const auto linear = [&](const std::string& name, int64_t out, int64_t in, double scale) {
    add.Add(name + ".weight", {out, in}, scale);
    if (biases) add.Add(name + ".bias", {out}, 0.3);
  };
  for (int l = 0; l < 2; ++l) {
    const std::string p = "model.layers." + std::to_string(l) + ".";
    add.Add(p + "input_layernorm.weight", {16}, 0.1, 1.0);
    add.Add(p + "post_attention_layernorm.weight", {16}, 0.1, 1.0);
    linear(p + "self_attn.q_proj", 16, 16, 0.5);
    linear(p + "self_attn.k_proj", 8, 16, 0.5);
    linear(p + "self_attn.v_proj", 8, 16, 0.5);
    linear(p + "self_attn.o_proj", 16, 16, 0.3);
    linear(p + "mlp.gate_proj", intermediate_size, 16, 0.5);
    linear(p + "mlp.up_proj", intermediate_size, 16, 0.5);
    linear(p + "mlp.down_proj", 16, intermediate_size, 0.3);
  }
  add.Add("model.norm.weight", {16}, 0.1, 1.0);
  if (!tied) add.Add("lm_head.weight", {11, 16}, 1.0);
  return model;
}

TinyModel MakeTinyGpt2(uint64_t seed) {
  TinyModel model;
  model.config = {{"architectures", {"GPT2LMHeadModel"}},
                  {"model_type", "gpt2"},
                  {"vocab_size", 9},
                  {"n_embd", 12},
                  {"n_inner", nullptr},
                  {"n_layer", 2},
                  {"n_head", 3},
                  {"n_positions", 32},
                  {"layer_norm_epsilon", 1e-5},
                  {"activation_function", "gelu_new"},
                  {"tie_word_embeddings", true}};
  Builder add(model, seed);
  add.Add("transformer.wte.weight", {9, 12}, 1.0);
  add.Add("transformer.wpe.weight", {32, 12}, 0.3);
  const auto linear = [&](const std::string& name, int64_t in, int64_t out, double scale) {
    add.Add(name + ".weight", {in, out}, scale);
    add.Add(name + ".bias", {out}, 0.3);
  };
  const auto norm = [&](const std::string& name) {
    add.Add(name + ".weight", {12}, 0.1, 1.0);
    add.Add(name + ".bias", {12}, 0.1);
  };
  for (int l = 0; l < 2; ++l) {
    const std::string p = "transformer.h." + std::to_string(l) + ".";
    norm(p + "ln_1");
    norm(p + "ln_2");
    linear(p + "attn.c_attn", 12, 36, 0.5);
    linear(p + "attn.c_proj", 12, 12, 0.3);
    linear(p + "mlp.c_fc", 12, 48, 0.5);
    linear(p + "mlp.c_proj", 48, 12, 0.3);
  }
  norm("transformer.ln_f");
  return model;
}

void WriteTinyModel(TinyModel& model, const std::filesystem::path& directory, DType dtype) {
  std::vector<TensorSpec> specs;
  for (const auto& [name, shape] : model.shapes) specs.push_back({name, dtype, shape});
  auto writer = SafetensorsWriter::Create(directory / "model.safetensors", specs);
  ASSERT_TRUE(writer.has_value()) << writer.error().message;
  for (auto& [name, values] : model.tensors) {
    std::vector<std::byte> bytes(values.size() * BlockBytes(dtype));
    RowFromF32(dtype, values, bytes.data());
    RowToF32(dtype, bytes.data(), values);
    ASSERT_TRUE(writer->Append(bytes).has_value());
  }
  ASSERT_TRUE(writer->Finish().has_value());
  WriteTextFile(directory / "config.json", model.config.dump());
  WriteTextFile(directory / "tokenizer.json", LetterTokenizer(model.config["vocab_size"]).dump());
}

std::vector<std::vector<double>> ReferenceLogits(const TinyModel& model,
                                                 const std::vector<int32_t>& ids) {
  return model.config["model_type"] == "llama" ? LlamaLogits(model, ids) : Gpt2Logits(model, ids);
}

}  // namespace unswift
