// The unigram language model (Kudo, arXiv 1804.10959) as tokenizer.json describes it.
#pragma once

#include <memory>

#include "unswift/tokenizer/model.h"

namespace unswift {

/// The pieces of a word whose scores (log probabilities) sum to the most; of equals the one found
/// first, as the reference has it. A character that is no piece costs 10 more than the worst piece
/// and becomes bytes (byte_fallback) or, with its unknown neighbours, the unknown token.
/// Errors: kInvalidData (no unk_id, a piece twice, a score that is no number).
Result<std::unique_ptr<Model>> MakeUnigramModel(const Json& json, const PartContext& context);

}  // namespace unswift
