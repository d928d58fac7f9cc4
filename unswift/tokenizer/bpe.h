// Byte-pair encoding (Sennrich et al., arXiv 1508.07909) as tokenizer.json describes it.
#pragma once

#include <memory>

#include "unswift/tokenizer/model.h"

namespace unswift {

/// Byte-level and SentencePiece-style BPE: byte_fallback, fuse_unk, ignore_merges, unk_token.
/// Errors: kInvalidData, kUnsupported (dropout, continuing_subword_prefix, end_of_word_suffix).
Result<std::unique_ptr<Model>> MakeBpeModel(const Json& json, const PartContext& context);

}  // namespace unswift
