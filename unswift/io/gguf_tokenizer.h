// A GGUF file's vocabulary in the form of Hugging Face tokenizer files.
#pragma once

#include "unswift/base/result.h"
#include "unswift/io/gguf.h"
#include "unswift/io/json_fwd.h"

namespace unswift {

/// Builds tokenizer.json from the keys tokenizer.ggml.*. Models "gpt2" (byte-level BPE; the
/// pre-tokenizer of tokenizer.ggml.pre must be known) and "llama" (SentencePiece BPE with byte
/// fallback; its merges are rebuilt from the scores). Errors: kUnsupported for another model or
/// pre-tokenizer, kInvalidData, kNotFound, naming the key.
Result<Json> TokenizerJsonFromGguf(const GgufFile& file);

/// Builds tokenizer_config.json: special tokens by name and, when present, the chat template.
/// `model_max_length` is in tokens.
Result<Json> TokenizerConfigFromGguf(const GgufFile& file, int64_t model_max_length);

}  // namespace unswift
