// A GGUF file (llama.cpp) -> a Hugging Face model directory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "unswift/base/result.h"
#include "unswift/ops/pack.h"
#include "unswift/tensor/dtype.h"

namespace unswift {

struct GgufImportReport {
  std::string architecture;  ///< as the GGUF file names it, for example "llama"
  int64_t num_tensors = 0;
  int64_t bytes = 0;    ///< of tensor data written
  ConversionLoss loss;  ///< of rounding to the type asked for
};

/// Called after each tensor.
using GgufImportProgress = std::function<void(int64_t tensors_done, int64_t tensors_total)>;

/// Writes config.json, generation_config.json, tokenizer.json, tokenizer_config.json (with the chat
/// template) and model.safetensors; the directory appears complete or not at all. Weights are
/// widened to float32, what llama.cpp's converter changed is undone (interleaved RoPE pairs of
/// llama's attn_q and attn_k, Gemma's 1 + w norms, GPT-2's transposed matrices), and values are
/// rounded to `dtype` (f32, f16, bf16; nearest even). q8_0 and q4_0 hold for matrices, which are
/// stored packed (tensor/packed.h; a file's own blocks come through bit for bit), vectors are f32
/// then, and config.json is UnswiftConfig's. Without output.weight the head is tied to the
/// embedding. Architectures: the table of gguf_architectures.cc.
///
/// Errors: kUnsupported for architectures, tensors, element types, RoPE scalings, tokenizers that
/// have no row yet (the message names which), kInvalidData for files that contradict themselves or
/// do not fit f16, kInvalidArgument (dtype), kAlreadyExists (target is there and !replace), kIo.
/// Cost: one pass over the file; memory for a few megabytes of rows besides the tokenizer.
Result<GgufImportReport> ImportGguf(const std::filesystem::path& gguf_file,
                                    const std::filesystem::path& target_dir,
                                    DType dtype = DType::kBF16, bool replace = false,
                                    const GgufImportProgress& progress = {});

}  // namespace unswift
