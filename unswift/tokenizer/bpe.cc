#include "unswift/tokenizer/bpe.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "unswift/io/text.h"
#include "unswift/tokenizer/bpe_merges.h"
#include "unswift/tokenizer/byte_tokens.h"
#include "unswift/tokenizer/utf8.h"

namespace unswift {
namespace {

constexpr int32_t kNone = -1;
constexpr size_t kKeptSymbols = 1 << 16;  // one huge word must not keep its memory

/// Remembers what short segments merge to. Direct-mapped: a new segment replaces the one in its
/// slot.
class SegmentCache {
 public:
  static constexpr size_t kMaxSymbols = 20;
  static constexpr size_t kMaxIds = 11;

  struct Slot {
    uint8_t num_symbols = 0;
    uint8_t num_ids = 0;
    std::array<int32_t, kMaxSymbols> symbols;
    std::array<int32_t, kMaxIds> ids;
  };

  /// The slot for `symbols` (at most kMaxSymbols of them).
  Slot& SlotFor(const std::vector<int32_t>& symbols) {
    if (slots_.empty()) slots_.resize(size_t{1} << kLogSlots);
    uint64_t hash = symbols.size();
    for (const int32_t symbol : symbols) {
      hash = (hash ^ static_cast<uint32_t>(symbol)) * 0x9E3779B97F4A7C15;
      hash ^= hash >> 29;
    }
    return slots_[hash * 0x9E3779B97F4A7C15 >> (64 - kLogSlots)];
  }

  static bool Holds(const Slot& slot, const std::vector<int32_t>& symbols) {
    return slot.num_symbols == symbols.size() &&
           std::memcmp(slot.symbols.data(), symbols.data(), symbols.size() * sizeof(int32_t)) == 0;
  }

  static void Store(Slot& slot, const std::vector<int32_t>& symbols, const int32_t* ids,
                    size_t num_ids) {
    if (num_ids > kMaxIds) return;
    slot.num_symbols = static_cast<uint8_t>(symbols.size());
    slot.num_ids = static_cast<uint8_t>(num_ids);
    std::copy(symbols.begin(), symbols.end(), slot.symbols.begin());
    std::copy(ids, ids + num_ids, slot.ids.begin());
  }

 private:
  static constexpr int kLogSlots = 14;  // 2 MiB
  std::vector<Slot> slots_;
};

struct BpeScratch final : ModelScratch {
  std::vector<int32_t> segment;  // symbols that merges may still join
  SegmentCache cache;
  Merger merger;
};

/// Characters that are tokens: an array for the basic plane, a map above it.
class CharacterTable {
 public:
  CharacterTable() : basic_plane_(0x10000, kNone) {}
  void Insert(char32_t character, int32_t id) {
    if (character < basic_plane_.size()) {
      basic_plane_[character] = id;
    } else {
      beyond_[character] = id;
    }
  }
  int32_t Find(char32_t character) const {
    if (character < basic_plane_.size()) return basic_plane_[character];
    const auto entry = beyond_.find(character);
    return entry == beyond_.end() ? kNone : entry->second;
  }

 private:
  std::vector<int32_t> basic_plane_;
  std::unordered_map<char32_t, int32_t> beyond_;
};

class BpeModel final : public Model {
 public:
  static Result<std::unique_ptr<Model>> Make(const Json& json, const PartContext& context) {
    UNSWIFT_RETURN_IF_ERROR(CheckSettings(json, context));
    UNSWIFT_ASSIGN_OR_RETURN(Vocabulary vocabulary,
                             Vocabulary::FromJson(MemberOrNull(json, "vocab"), context));
    UNSWIFT_ASSIGN_OR_RETURN(const Json* merges, PartArray(json, "merges", context));
    UNSWIFT_ASSIGN_OR_RETURN(const std::vector<ParsedMerge> parsed,
                             ParseMerges(*merges, vocabulary, context));
    auto model = std::make_unique<BpeModel>(std::move(vocabulary), parsed.size());
    UNSWIFT_RETURN_IF_ERROR(model->ReadSettings(json, context));
    model->IndexCharacters();
    for (size_t rank = 0; rank < parsed.size(); ++rank) {
      model->AddMerge(parsed[rank], static_cast<int32_t>(rank));
    }
    return model;
  }

  BpeModel(Vocabulary vocabulary, size_t num_merges)
      : vocabulary_(std::move(vocabulary)), merges_(num_merges) {}

  void Tokenize(std::string_view word, ModelScratch& model_scratch,
                std::vector<int32_t>& ids) const override {
    auto& scratch = static_cast<BpeScratch&>(model_scratch);
    if (ignore_merges_ && word.size() <= longest_token_) {
      if (const std::optional<int32_t> id = vocabulary_.Find(word)) {
        ids.push_back(*id);
        return;
      }
    }
    bool unknown_pending = false;  // an unknown character that later ones may fuse with
    for (size_t i = 0; i < word.size();) {
      const size_t length = Utf8Length(word[i]);
      const std::string_view character = word.substr(i, length);
      i += length;
      const int32_t id = characters_.Find(Utf8CodePoint(character));
      if (id == kNone && !byte_tokens_.HasAll(character)) {
        if (unknown_pending && !fuse_unknown_) AddSymbol(unknown_id_, scratch, ids);
        unknown_pending = unknown_id_ != kNone;
        continue;
      }
      if (unknown_pending) AddSymbol(unknown_id_, scratch, ids);
      unknown_pending = false;
      if (id != kNone) {
        AddSymbol(id, scratch, ids);
      } else {
        for (const char byte : character) AddSymbol(byte_tokens_.Id(byte), scratch, ids);
      }
    }
    if (unknown_pending) AddSymbol(unknown_id_, scratch, ids);
    FlushSegment(scratch, ids);
  }

  std::unique_ptr<ModelScratch> NewScratch() const override {
    return std::make_unique<BpeScratch>();
  }
  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  /// Refuses settings that would change the ids and that no supported model uses.
  static Result<> CheckSettings(const Json& json, const PartContext& context) {
    for (const std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      UNSWIFT_ASSIGN_OR_RETURN(const std::string text,
                               PartFieldOr<std::string>(json, key, "", context));
      if (text.empty()) continue;
      return MakeError(ErrorCode::kUnsupported,
                       "[open_tokenizer] {}: BPE: expected no '{}', got '{}'", context.what, key,
                       Shorten(text));
    }
    UNSWIFT_ASSIGN_OR_RETURN(const double dropout,
                             PartFieldOr<double>(json, "dropout", 0.0, context));
    if (dropout != 0.0) {
      return MakeError(ErrorCode::kUnsupported,
                       "[open_tokenizer] {}: BPE: expected no 'dropout', "
                       "got {}",
                       context.what, dropout);
    }
    return {};
  }

  Result<> ReadSettings(const Json& json, const PartContext& context) {
    UNSWIFT_ASSIGN_OR_RETURN(fuse_unknown_, PartFieldOr<bool>(json, "fuse_unk", false, context));
    UNSWIFT_ASSIGN_OR_RETURN(ignore_merges_,
                             PartFieldOr<bool>(json, "ignore_merges", false, context));
    UNSWIFT_ASSIGN_OR_RETURN(byte_tokens_, ByteTokens::FromJson(json, vocabulary_, context));
    if (FindMember(json, "unk_token") == nullptr) return {};
    UNSWIFT_ASSIGN_OR_RETURN(const std::string unknown,
                             PartField<std::string>(json, "unk_token", context));
    const std::optional<int32_t> id = vocabulary_.Find(unknown);
    if (!id) {
      return MakeError(ErrorCode::kInvalidData,
                       "[open_tokenizer] {}: 'unk_token': expected a token of 'vocab', got '{}'",
                       context.what, Shorten(unknown));
    }
    unknown_id_ = *id;
    return {};
  }

  void IndexCharacters() {
    for (int32_t id = 0; id < vocabulary_.size(); ++id) {
      const std::string* token = vocabulary_.Token(id);
      if (token == nullptr) continue;
      longest_token_ = std::max(longest_token_, token->size());
      if (IsOneCharacter(*token)) characters_.Insert(Utf8CodePoint(*token), id);
    }
  }

  void AddMerge(const ParsedMerge& merge, int32_t rank) {
    merges_.Insert(merge.left, merge.right, {rank, merge.id});
    std::vector<int32_t> lasts = BorderSymbols(merge.left, /*last=*/true);
    for (const int32_t first : BorderSymbols(merge.right, /*last=*/false)) {
      for (const int32_t last : lasts) joins_.Insert(last, first);
    }
  }

  /// Every symbol that a run of symbols making up `token` may begin (or end) with: the token
  /// itself, its border character, a byte token or the unknown token spelled at its border.
  std::vector<int32_t> BorderSymbols(int32_t token, bool last) const {
    const std::string& text = *vocabulary_.Token(token);
    std::vector<int32_t> symbols = {token};
    if (text.empty()) return symbols;
    const size_t begin = last ? Utf8LastCharacter(text) : 0;
    const int32_t character = characters_.Find(Utf8CodePoint(std::string_view(text).substr(begin)));
    if (character != kNone) symbols.push_back(character);
    const auto add_spelled = [&](int32_t id) {
      if (id == kNone) return;
      const std::string& spelling = *vocabulary_.Token(id);
      if (last ? text.ends_with(spelling) : text.starts_with(spelling)) symbols.push_back(id);
    };
    add_spelled(unknown_id_);
    const char mark = last ? '>' : '<';
    if ((last ? text.back() : text.front()) == mark) {
      for (const int32_t id : byte_tokens_.ids()) add_spelled(id);
    }
    return symbols;
  }

  void AddSymbol(int32_t id, BpeScratch& scratch, std::vector<int32_t>& ids) const {
    if (!scratch.segment.empty() && !joins_.MayJoin(scratch.segment.back(), id)) {
      FlushSegment(scratch, ids);
    }
    scratch.segment.push_back(id);
  }

  void FlushSegment(BpeScratch& scratch, std::vector<int32_t>& ids) const {
    std::vector<int32_t>& segment = scratch.segment;
    if (segment.size() == 1) {
      ids.push_back(segment[0]);
    } else if (segment.size() > SegmentCache::kMaxSymbols) {
      scratch.merger.Run(segment, merges_, ids);
    } else if (!segment.empty()) {
      SegmentCache::Slot& slot = scratch.cache.SlotFor(segment);
      if (SegmentCache::Holds(slot, segment)) {
        ids.insert(ids.end(), slot.ids.begin(), slot.ids.begin() + slot.num_ids);
      } else {
        const size_t first = ids.size();
        scratch.merger.Run(segment, merges_, ids);
        SegmentCache::Store(slot, segment, ids.data() + first, ids.size() - first);
      }
    }
    segment.clear();
    if (segment.capacity() > kKeptSymbols) segment.shrink_to_fit();
  }

  Vocabulary vocabulary_;
  MergeTable merges_;
  JoinTable joins_;
  CharacterTable characters_;
  ByteTokens byte_tokens_;
  int32_t unknown_id_ = kNone;
  bool fuse_unknown_ = false;
  bool ignore_merges_ = false;
  size_t longest_token_ = 0;
};

}  // namespace

Result<std::unique_ptr<Model>> MakeBpeModel(const Json& json, const PartContext& context) {
  return BpeModel::Make(json, context);
}

}  // namespace unswift
