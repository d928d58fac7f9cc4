// The merge rules of byte-pair encoding and the algorithm that applies them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "unswift/tokenizer/part.h"
#include "unswift/tokenizer/vocabulary.h"

namespace unswift {

struct Merge {
  int32_t rank;  ///< lower merges first
  int32_t id;    ///< the token that the pair becomes
};

/// (left id, right id) -> Merge; a hash table with linear probing, made for lookups only.
class MergeTable {
 public:
  explicit MergeTable(size_t num_merges);
  /// A pair inserted again gets the later merge.
  void Insert(int32_t left, int32_t right, Merge merge);
  const Merge* Find(int32_t left, int32_t right) const {
    for (size_t at = Home(left, right);; at = (at + 1) & mask_) {
      const Slot& slot = slots_[at];
      if (slot.left == left && slot.right == right) return &slot.merge;
      if (slot.left == kEmpty) return nullptr;
    }
  }

 private:
  static constexpr int32_t kEmpty = -1;
  struct Slot {
    int32_t left = kEmpty;
    int32_t right = kEmpty;
    Merge merge{};
  };
  size_t Home(int32_t left, int32_t right) const {
    const uint64_t key = uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
    return key * 0x9E3779B97F4A7C15 >> shift_;
  }
  std::vector<Slot> slots_;
  size_t mask_;
  int shift_;
};

/// Which symbols (a word's tokens before any merge) can end up in one token as neighbours. May say
/// yes too often, never no too often, so a word can be cut wherever it says no: no merge reaches
/// across, and the parts merge as they would have together.
class JoinTable {
 public:
  JoinTable();
  void Insert(int32_t left, int32_t right);
  bool MayJoin(int32_t left, int32_t right) const {
    const size_t bit = Bit(left, right);
    return (bits_[bit / 64] >> (bit % 64) & 1) != 0;
  }

 private:
  static constexpr int kLogBits = 20;
  static size_t Bit(int32_t left, int32_t right) {
    const uint64_t key = uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
    return key * 0xD6E8FEB86659FD93 >> (64 - kLogBits);
  }
  std::vector<uint64_t> bits_;
};

struct ParsedMerge {
  int32_t left, right, id;
};

/// Reads "merges": ["a b", ...] or [["a", "b"], ...]. Errors: kInvalidData naming the merge and the
/// token that 'vocab' lacks.
Result<std::vector<ParsedMerge>> ParseMerges(const Json& merges, const Vocabulary& vocabulary,
                                             const PartContext& context);

/// Merges `symbols` until no rule fits and appends the ids: always the neighbours of the lowest
/// rank, of several the leftmost. Cost: O(n log n) time, O(n) memory.
class Merger {
 public:
  void Run(std::span<const int32_t> symbols, const MergeTable& table, std::vector<int32_t>& ids);

 private:
  struct Node {
    int32_t id;
    int32_t next;      // -1 at the end
    int32_t previous;  // -1 at the start
    int32_t rank;      // of the merge with `next`; kNoMerge when there is none
    int32_t merged;    // what that merge makes
  };
  void Link(int32_t left, const MergeTable& table, bool push);
  void MergeWithNext(int32_t left, const MergeTable& table);
  std::vector<Node> nodes_;
  std::vector<uint64_t> heap_;  // rank << 32 | position, least first; may hold outdated entries
};

}  // namespace unswift
