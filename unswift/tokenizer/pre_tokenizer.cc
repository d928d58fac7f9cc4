#include "unswift/tokenizer/pre_tokenizer.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <array>
#include <utility>

#include "unswift/tokenizer/metaspace.h"
#include "unswift/tokenizer/split_behavior.h"
#include "unswift/tokenizer/utf8.h"

namespace unswift {
namespace {

using PreTokenizerPtr = std::unique_ptr<PreTokenizer>;

// GPT-2's pattern ("Language Models are Unsupervised Multitask Learners", encoder.py).
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// Replaces every piece by what SplitAt makes of the delimiters that find(text, spans) reports.
template <typename Find>
Result<> SplitPieces(PreTokenizedText& input, bool invert, SplitBehavior behavior,
                     const Find& find) {
  std::vector<ByteSpan> pieces;
  pieces.reserve(input.pieces.size());
  std::vector<ByteSpan> delimiters;
  const size_t start = input.pieces.empty() ? 0 : input.pieces[0].begin;
  for (const ByteSpan& piece : input.pieces) {
    delimiters.clear();
    const std::string_view text(input.text.data() + piece.begin, piece.end - piece.begin);
    UNSWIFT_RETURN_IF_ERROR(find(text, delimiters));
    for (ByteSpan& delimiter : delimiters) {
      delimiter.begin += piece.begin;
      delimiter.end += piece.begin;
    }
    SplitAt(piece, delimiters, invert, behavior, pieces);
  }
  input.pieces = std::move(pieces);
  // A removed first delimiter leaves a first piece that no longer begins the input.
  input.first_at_start &= !input.pieces.empty() && input.pieces[0].begin == start;
  return {};
}

/// Rewrites the text piece by piece; rewrite(piece, is_first, out) appends the new piece.
template <typename Rewrite>
Result<> RewritePieces(PreTokenizedText& input, const TextScratch& scratch,
                       const Rewrite& rewrite) {
  std::string text;
  text.reserve(input.text.size() + input.text.size() / 4 + 16);
  bool is_first = true;
  for (ByteSpan& piece : input.pieces) {
    const size_t begin = text.size();
    rewrite(std::string_view(input.text).substr(piece.begin, piece.end - piece.begin), is_first,
            text);
    piece = {begin, text.size()};
    is_first = false;
  }
  input.text = std::move(text);
  return scratch.CheckTextSize(input.text.size());
}

class SequencePreTokenizer final : public PreTokenizer {
 public:
  static Result<PreTokenizerPtr> Make(const Json& json, const PartContext& context) {
    auto sequence = std::make_unique<SequencePreTokenizer>();
    UNSWIFT_ASSIGN_OR_RETURN(
        sequence->parts_,
        MakeParts<PreTokenizer>(json, "pretokenizers", context, &PreTokenizer::FromJson));
    return sequence;
  }
  Result<> Apply(PreTokenizedText& input, TextScratch& scratch) const override {
    for (const PreTokenizerPtr& part : parts_) {
      UNSWIFT_RETURN_IF_ERROR(part->Apply(input, scratch));
    }
    return {};
  }

 private:
  std::vector<PreTokenizerPtr> parts_;
};

class SplitPreTokenizer final : public PreTokenizer {
 public:
  static Result<PreTokenizerPtr> Make(const Json& json, const PartContext& context) {
    auto split = std::make_unique<SplitPreTokenizer>();
    UNSWIFT_ASSIGN_OR_RETURN(split->pattern_, Pattern::FromJson(json, "pattern", context));
    UNSWIFT_ASSIGN_OR_RETURN(split->behavior_, ParseSplitBehavior(json, context));
    UNSWIFT_ASSIGN_OR_RETURN(split->invert_, PartFieldOr<bool>(json, "invert", false, context));
    return split;
  }
  Result<> Apply(PreTokenizedText& input, TextScratch& scratch) const override {
    return SplitPieces(input, invert_, behavior_,
                       [&](std::string_view text, std::vector<ByteSpan>& delimiters) {
                         return pattern_->FindAll(text, scratch, delimiters);
                       });
  }

 private:
  std::unique_ptr<Pattern> pattern_;
  SplitBehavior behavior_ = SplitBehavior::kIsolated;
  bool invert_ = false;
};

class DigitsPreTokenizer final : public PreTokenizer {
 public:
  static Result<PreTokenizerPtr> Make(const Json& json, const PartContext& context) {
    auto digits = std::make_unique<DigitsPreTokenizer>();
    UNSWIFT_ASSIGN_OR_RETURN(const bool individual,
                             PartFieldOr<bool>(json, "individual_digits", false, context));
    digits->behavior_ = individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous;
    return digits;
  }
  Result<> Apply(PreTokenizedText& input, TextScratch&) const override {
    return SplitPieces(input, /*invert=*/false, behavior_, &FindNumerals);
  }

 private:
  static Result<> FindNumerals(std::string_view text, std::vector<ByteSpan>& delimiters) {
    for (size_t i = 0; i < text.size();) {
      const size_t length = Utf8Length(text[i]);
      if (IsNumeral(text.substr(i, length))) delimiters.push_back({i, i + length});
      i += length;
    }
    return {};
  }
  static bool IsNumeral(std::string_view character) {
    if (character.size() == 1) return character[0] >= '0' && character[0] <= '9';
    return (U_GET_GC_MASK(static_cast<UChar32>(Utf8CodePoint(character))) & U_GC_N_MASK) != 0;
  }

  SplitBehavior behavior_ = SplitBehavior::kContiguous;
};

class ByteLevelPreTokenizer final : public PreTokenizer {
 public:
  static Result<PreTokenizerPtr> Make(const Json& json, const PartContext& context) {
    auto byte_level = std::make_unique<ByteLevelPreTokenizer>();
    UNSWIFT_ASSIGN_OR_RETURN(byte_level->add_prefix_space_,
                             PartFieldOr<bool>(json, "add_prefix_space", true, context));
    UNSWIFT_ASSIGN_OR_RETURN(const bool use_regex,
                             PartFieldOr<bool>(json, "use_regex", true, context));
    if (use_regex) {
      UNSWIFT_ASSIGN_OR_RETURN(Regex regex, Regex::Compile(kGpt2Pattern, context.what));
      byte_level->pattern_ = Pattern::FromRegex(std::move(regex));
    }
    for (int byte = 0; byte < 256; ++byte) {
      AppendUtf8(ByteLevelCharacter(static_cast<uint8_t>(byte)), byte_level->characters_[byte]);
    }
    return byte_level;
  }
  Result<> Apply(PreTokenizedText& input, TextScratch& scratch) const override {
    if (add_prefix_space_) {
      UNSWIFT_RETURN_IF_ERROR(
          RewritePieces(input, scratch, [](std::string_view piece, bool, std::string& out) {
            if (!piece.starts_with(' ')) out += ' ';
            out += piece;
          }));
    }
    if (pattern_ != nullptr) {
      UNSWIFT_RETURN_IF_ERROR(
          SplitPieces(input, /*invert=*/false, SplitBehavior::kIsolated,
                      [&](std::string_view text, std::vector<ByteSpan>& delimiters) {
                        return pattern_->FindAll(text, scratch, delimiters);
                      }));
    }
    return RewritePieces(input, scratch, [&](std::string_view piece, bool, std::string& out) {
      for (const char byte : piece) out += characters_[static_cast<uint8_t>(byte)];
    });
  }

 private:
  bool add_prefix_space_ = true;
  std::unique_ptr<Pattern> pattern_;  // null: no split
  std::array<std::string, 256> characters_;
};

class MetaspacePreTokenizer final : public PreTokenizer {
 public:
  static Result<PreTokenizerPtr> Make(const Json& json, const PartContext& context) {
    auto metaspace = std::make_unique<MetaspacePreTokenizer>();
    UNSWIFT_ASSIGN_OR_RETURN(metaspace->settings_, MetaspaceSettings::FromJson(json, context));
    return metaspace;
  }
  Result<> Apply(PreTokenizedText& input, TextScratch& scratch) const override {
    UNSWIFT_RETURN_IF_ERROR(
        RewritePieces(input, scratch, [&](std::string_view piece, bool is_first, std::string& out) {
          Mark(piece, is_first && input.first_at_start, out);
        }));
    if (!settings_.split) return {};
    return SplitPieces(input, /*invert=*/false, SplitBehavior::kMergedWithNext,
                       [&](std::string_view text, std::vector<ByteSpan>& delimiters) -> Result<> {
                         const std::string& mark = settings_.replacement;
                         for (size_t at = text.find(mark); at != text.npos;
                              at = text.find(mark, at + mark.size())) {
                           delimiters.push_back({at, at + mark.size()});
                         }
                         return {};
                       });
  }

 private:
  /// Appends `piece` with marks for spaces, and one in front where the scheme wants it.
  void Mark(std::string_view piece, bool at_start, std::string& out) const {
    const std::string& mark = settings_.replacement;
    const bool has_mark = piece.starts_with(' ') || piece.starts_with(mark);
    const bool wants_mark = settings_.prepend == MetaspacePrepend::kAlways ||
                            (settings_.prepend == MetaspacePrepend::kFirst && at_start);
    if (wants_mark && !has_mark) out += mark;
    for (const char c : piece) {
      if (c == ' ') {
        out += mark;
      } else {
        out += c;
      }
    }
  }

  MetaspaceSettings settings_;
};

constexpr std::array kPreTokenizers = {
    PartRow<PreTokenizer>{"Sequence", &SequencePreTokenizer::Make},
    PartRow<PreTokenizer>{"Split", &SplitPreTokenizer::Make},
    PartRow<PreTokenizer>{"ByteLevel", &ByteLevelPreTokenizer::Make},
    PartRow<PreTokenizer>{"Metaspace", &MetaspacePreTokenizer::Make},
    PartRow<PreTokenizer>{"Digits", &DigitsPreTokenizer::Make},
};

}  // namespace

Result<std::unique_ptr<PreTokenizer>> PreTokenizer::FromJson(const Json& json,
                                                             const PartContext& context) {
  return MakePart<PreTokenizer>(json, "pre_tokenizer", kPreTokenizers, context);
}

char32_t ByteLevelCharacter(uint8_t byte) {
  // Printable Latin-1 stands for itself; the other bytes, in order, for U+0100 onwards.
  if (byte >= 0x21 && byte <= 0x7E) return byte;
  if (byte >= 0xA1 && byte != 0xAD) return byte;
  if (byte <= 0x20) return 0x100 + byte;
  if (byte <= 0xA0) return 0x100 + 0x21 + (byte - 0x7F);
  return 0x100 + 0x21 + 0x22;  // 0xAD
}

}  // namespace unswift
