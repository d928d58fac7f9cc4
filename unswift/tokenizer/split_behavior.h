// What a split does with the delimiters it finds.
#pragma once

#include <vector>

#include "unswift/tokenizer/regex.h"

namespace unswift {

enum class SplitBehavior {
  kRemoved,             ///< delimiters go
  kIsolated,            ///< each delimiter is a piece
  kMergedWithPrevious,  ///< a delimiter ends the piece before it
  kMergedWithNext,      ///< a delimiter starts the piece after it
  kContiguous,          ///< neighbouring delimiters are one piece
};

/// Errors: kUnsupported naming the word.
Result<SplitBehavior> ParseSplitBehavior(const Json& part, const PartContext& context);

/// Cuts `whole` at the delimiters (sorted, inside `whole`; with `invert`, what lies between them is
/// the delimiter) and appends the pieces that are not empty.
void SplitAt(ByteSpan whole, const std::vector<ByteSpan>& delimiters, bool invert,
             SplitBehavior behavior, std::vector<ByteSpan>& pieces);

}  // namespace unswift
