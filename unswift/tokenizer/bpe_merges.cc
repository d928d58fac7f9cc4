#include "unswift/tokenizer/bpe_merges.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <string>

#include "unswift/io/json.h"
#include "unswift/io/text.h"

namespace unswift {
namespace {

constexpr int32_t kNoMerge = INT32_MAX;
constexpr size_t kKeptNodes = 1 << 16;

struct MergePair {
  std::string_view left, right;
};

Result<MergePair> SplitMerge(const Json& merge, size_t rank, const PartContext& context) {
  if (merge.is_string()) {
    const std::string_view text = merge.get_ref<const std::string&>();
    const size_t space = text.find(' ');
    if (space != text.npos && text.find(' ', space + 1) == text.npos) {
      return MergePair{text.substr(0, space), text.substr(space + 1)};
    }
  } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
             merge[1].is_string()) {
    return MergePair{merge[0].get_ref<const std::string&>(),
                     merge[1].get_ref<const std::string&>()};
  }
  return MakeError(
      ErrorCode::kInvalidData,
      "[open_tokenizer] {}: merge {}: expected \"a b\" or [\"a\", \"b\"], got {}", context.what,
      rank, merge.is_string() ? Shorten(merge.get_ref<const std::string&>()) : merge.type_name());
}

Result<int32_t> FindMergeToken(std::string_view token, size_t rank, const Vocabulary& vocabulary,
                               const PartContext& context) {
  if (const std::optional<int32_t> id = vocabulary.Find(token)) return *id;
  return MakeError(ErrorCode::kInvalidData,
                   "[open_tokenizer] {}: merge {}: expected tokens of 'vocab', got '{}'",
                   context.what, rank, Shorten(token));
}

}  // namespace

MergeTable::MergeTable(size_t num_merges) {
  const size_t capacity = std::bit_ceil(std::max<size_t>(16, num_merges + num_merges / 2));
  slots_.resize(capacity);
  mask_ = capacity - 1;
  shift_ = 64 - std::countr_zero(capacity);
}

void MergeTable::Insert(int32_t left, int32_t right, Merge merge) {
  size_t at = Home(left, right);
  while (slots_[at].left != kEmpty && !(slots_[at].left == left && slots_[at].right == right)) {
    at = (at + 1) & mask_;
  }
  slots_[at] = {left, right, merge};
}

JoinTable::JoinTable() : bits_((size_t{1} << kLogBits) / 64) {}

void JoinTable::Insert(int32_t left, int32_t right) {
  const size_t bit = Bit(left, right);
  bits_[bit / 64] |= uint64_t{1} << (bit % 64);
}

Result<std::vector<ParsedMerge>> ParseMerges(const Json& merges, const Vocabulary& vocabulary,
                                             const PartContext& context) {
  std::vector<ParsedMerge> parsed;
  parsed.reserve(merges.size());
  std::string joined;
  for (const Json& merge : merges) {
    const size_t rank = parsed.size();
    UNSWIFT_ASSIGN_OR_RETURN(const MergePair pair, SplitMerge(merge, rank, context));
    UNSWIFT_ASSIGN_OR_RETURN(const int32_t left,
                             FindMergeToken(pair.left, rank, vocabulary, context));
    UNSWIFT_ASSIGN_OR_RETURN(const int32_t right,
                             FindMergeToken(pair.right, rank, vocabulary, context));
    joined.assign(pair.left).append(pair.right);
    UNSWIFT_ASSIGN_OR_RETURN(const int32_t id, FindMergeToken(joined, rank, vocabulary, context));
    parsed.push_back({left, right, id});
  }
  return parsed;
}

void Merger::Link(int32_t left, const MergeTable& table, bool push) {
  Node& node = nodes_[left];
  const Merge* merge = node.next < 0 ? nullptr : table.Find(node.id, nodes_[node.next].id);
  node.rank = merge == nullptr ? kNoMerge : merge->rank;
  if (merge == nullptr) return;
  node.merged = merge->id;
  heap_.push_back(static_cast<uint64_t>(merge->rank) << 32 | static_cast<uint32_t>(left));
  if (push) std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
}

void Merger::MergeWithNext(int32_t left, const MergeTable& table) {
  Node& node = nodes_[left];
  Node& gone = nodes_[node.next];
  node.id = node.merged;
  node.next = gone.next;
  gone.rank = kNoMerge;  // makes its heap entries outdated
  if (node.next >= 0) nodes_[node.next].previous = left;
  Link(left, table, /*push=*/true);
  if (node.previous >= 0) Link(node.previous, table, /*push=*/true);
}

void Merger::Run(std::span<const int32_t> symbols, const MergeTable& table,
                 std::vector<int32_t>& ids) {
  const auto count = static_cast<int32_t>(symbols.size());
  nodes_.resize(symbols.size());
  heap_.clear();
  for (int32_t i = 0; i < count; ++i) {
    nodes_[i] = {symbols[i], i + 1 < count ? i + 1 : -1, i - 1, kNoMerge, 0};
  }
  for (int32_t i = 0; i < count; ++i) Link(i, table, /*push=*/false);
  std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
  while (!heap_.empty()) {
    const uint64_t least = heap_.front();
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    heap_.pop_back();
    const auto left = static_cast<int32_t>(least & 0xFFFFFFFF);
    if (nodes_[left].rank == static_cast<int32_t>(least >> 32)) MergeWithNext(left, table);
  }
  for (int32_t i = 0; i >= 0; i = nodes_[i].next) ids.push_back(nodes_[i].id);
  if (nodes_.capacity() > kKeptNodes) {  // one huge word must not keep its memory
    nodes_ = {};
    heap_ = {};
  }
}

}  // namespace unswift
