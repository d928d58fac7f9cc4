// Tiny random models on disk, and an independent double-precision forward pass over them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "unswift/io/json.h"
#include "unswift/tensor/dtype.h"

namespace unswift {

struct TinyModel {
  Json config;
  /// Name -> values, as stored (row-major, in the checkpoint's own orientation).
  std::map<std::string, std::vector<float>> tensors;
  std::map<std::string, std::vector<int64_t>> shapes;
};

/// Llama with grouped-query attention: hidden 16, 2 layers, 4 heads, 2 key/value heads, mlp 24,
/// vocab 11.
TinyModel MakeTinyLlama(uint64_t seed, bool tied, bool biases = false,
                        int64_t intermediate_size = 24);
/// GPT-2: hidden 12, 2 layers, 3 heads, mlp 48, vocab 9, 32 positions, gelu_new.
TinyModel MakeTinyGpt2(uint64_t seed);

/// Writes config.json, model.safetensors (weights rounded to `dtype`; tensors[] is rounded, too)
/// and a tokenizer.json of single letters into an existing directory.
void WriteTinyModel(TinyModel& model, const std::filesystem::path& directory,
                    DType dtype = DType::kF32);

/// Logits [ids, vocab] of the whole sequence by the textbook, in double.
std::vector<std::vector<double>> ReferenceLogits(const TinyModel& model,
                                                 const std::vector<int32_t>& ids);

}  // namespace unswift
