// All pieces that a text begins with.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace unswift {

/// Pieces in order of their bytes, so that those with a common beginning stand side by side: a trie
/// without its nodes, which a file of long pieces would make many times its size.
class SortedPieces {
 public:
  SortedPieces() = default;
  /// Pieces with their ids, all different and not empty; their text must outlive this.
  explicit SortedPieces(std::vector<std::pair<std::string_view, int32_t>> pieces)
      : pieces_(std::move(pieces)) {
    std::sort(pieces_.begin(), pieces_.end());
    for (const auto& [text, id] : pieces_) ++first_[static_cast<uint8_t>(text[0]) + size_t{1}];
    for (size_t i = 1; i < first_.size(); ++i) first_[i] += first_[i - 1];
  }

  /// Calls found(length, id) for each piece that `text` (not empty) begins with, shortest first.
  /// Cost: two binary searches a byte, among the pieces that go on.
  template <typename Found>
  void ForEachPrefix(std::string_view text, const Found& found) const {
    const auto lead = static_cast<uint8_t>(text[0]);
    auto begin = pieces_.begin() + first_[lead], end = pieces_.begin() + first_[lead + size_t{1}];
    for (size_t length = 1; begin != end; ++length) {
      if (begin->first.size() == length) {
        found(length, begin->second);
        ++begin;
      }
      if (length == text.size()) return;
      const auto next = static_cast<uint8_t>(text[length]);
      const auto byte = [&](const auto& piece) {
        return static_cast<uint8_t>(piece.first[length]);
      };
      begin = std::partition_point(begin, end, [&](const auto& p) { return byte(p) < next; });
      end = std::partition_point(begin, end, [&](const auto& p) { return byte(p) == next; });
    }
  }

 private:
  std::vector<std::pair<std::string_view, int32_t>> pieces_;
  std::array<int32_t, 257> first_{};  // piece that begins with each byte; behind the last: how many
};

}  // namespace unswift
