#include "unswift/tokenizer/split_behavior.h"

#include <algorithm>
#include <array>

namespace unswift {
namespace {

struct BehaviorName {
  std::string_view name;
  SplitBehavior behavior;
};

constexpr std::array<BehaviorName, 5> kBehaviors = {{
    {"Removed", SplitBehavior::kRemoved},
    {"Isolated", SplitBehavior::kIsolated},
    {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
    {"MergedWithNext", SplitBehavior::kMergedWithNext},
    {"Contiguous", SplitBehavior::kContiguous},
}};

/// Takes the parts of a text from left to right and joins them as the behaviour says. A part is a
/// delimiter or the text between two; only the latter may be empty (then it never arrives).
class Joiner {
 public:
  Joiner(SplitBehavior behavior, std::vector<ByteSpan>& pieces)
      : behavior_(behavior), pieces_(pieces), first_(pieces.size()) {}

  void Add(ByteSpan part, bool is_delimiter) {
    if (part.begin == part.end) return;
    if (behavior_ == SplitBehavior::kRemoved && is_delimiter) return;
    const bool has_piece = pieces_.size() > first_;
    if (has_piece && JoinsPrevious(is_delimiter)) {
      pieces_.back().end = part.end;
    } else {
      pieces_.push_back(part);
    }
    previous_is_delimiter_ = is_delimiter;
  }

 private:
  bool JoinsPrevious(bool is_delimiter) const {
    switch (behavior_) {
      case SplitBehavior::kContiguous:
        return is_delimiter == previous_is_delimiter_;
      case SplitBehavior::kMergedWithPrevious:
        return is_delimiter && !previous_is_delimiter_;
      case SplitBehavior::kMergedWithNext:
        return !is_delimiter && previous_is_delimiter_;
      default:
        return false;
    }
  }

  SplitBehavior behavior_;
  std::vector<ByteSpan>& pieces_;
  size_t first_;  // pieces before it belong to other texts
  bool previous_is_delimiter_ = false;
};

}  // namespace

Result<SplitBehavior> ParseSplitBehavior(const Json& part, const PartContext& context) {
  UNSWIFT_ASSIGN_OR_RETURN(const std::string name,
                           PartField<std::string>(part, "behavior", context));
  std::vector<std::string_view> supported;
  for (const BehaviorName& row : kBehaviors) {
    if (row.name == name) return row.behavior;
    supported.push_back(row.name);
  }
  return UnsupportedPart("Split behavior", name, supported, context);
}

void SplitAt(ByteSpan whole, const std::vector<ByteSpan>& delimiters, bool invert,
             SplitBehavior behavior, std::vector<ByteSpan>& pieces) {
  Joiner joiner(behavior, pieces);
  size_t at = whole.begin;
  for (const ByteSpan& delimiter : delimiters) {
    joiner.Add({at, delimiter.begin}, invert);
    joiner.Add(delimiter, !invert);
    at = delimiter.end;
  }
  joiner.Add({at, whole.end}, invert);
}

}  // namespace unswift
