// How byte-level BPE tokenizers of GGUF files cut a text before merging: what the values of
// tokenizer.ggml.pre stand for.
#pragma once

#include <array>
#include <string_view>

#include "unswift/base/result.h"
#include "unswift/io/json.h"

namespace unswift {

/// One value of tokenizer.ggml.pre.
struct GgufPreTokenizer {
  std::string_view name;
  /// Patterns whose matches are cut out, one pattern after another, of all pieces that those before
  /// have made; unused ones are empty. None at all: GPT-2's pattern, which ByteLevel has built in.
  std::array<std::string_view, 5> splits = {};
  bool individual_digits = false;  ///< every digit by itself, before GPT-2's pattern
  bool nfc = false;
  bool ignore_merges = false;  ///< a piece that is a token is not cut again
  bool add_bos = false;        ///< when tokenizer.ggml.add_bos_token is absent
};

/// The row of a name. Without one, or with "default": that of the architecture's family, where all
/// of the family's models share one. (llama.cpp has a pattern for such files that no model was
/// trained with, and warns of it; wrong ids without a word would be worse than a refusal.)
/// Errors: kUnsupported naming the nearest and all known, or saying that the value is missing; for
/// the caller to say in which file.
Result<const GgufPreTokenizer*> FindGgufPreTokenizer(std::string_view name,
                                                     std::string_view architecture);

/// The pre_tokenizer of a tokenizer.json.
Json PreTokenizerJson(const GgufPreTokenizer& row, bool add_prefix_space);

/// The ByteLevel part of it, and of decoders.
Json ByteLevelJson(bool add_prefix_space, bool use_regex);

}  // namespace unswift
