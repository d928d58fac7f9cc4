#include "unswift/tokenizer/normalizer.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "unswift/io/json.h"

namespace unswift {
namespace {

using NormalizerPtr = std::unique_ptr<Normalizer>;

class SequenceNormalizer final : public Normalizer {
 public:
  static Result<NormalizerPtr> Make(const Json& json, const PartContext& context) {
    auto sequence = std::make_unique<SequenceNormalizer>();
    UNSWIFT_ASSIGN_OR_RETURN(sequence->parts_, MakeParts<Normalizer>(json, "normalizers", context,
                                                                     &Normalizer::FromJson));
    return sequence;
  }
  Result<> Normalize(std::string& text, TextScratch& scratch) const override {
    for (const NormalizerPtr& part : parts_) {
      UNSWIFT_RETURN_IF_ERROR(part->Normalize(text, scratch));
    }
    return {};
  }

 private:
  std::vector<NormalizerPtr> parts_;
};

class PrependNormalizer final : public Normalizer {
 public:
  static Result<NormalizerPtr> Make(const Json& json, const PartContext& context) {
    auto prepend = std::make_unique<PrependNormalizer>();
    UNSWIFT_ASSIGN_OR_RETURN(prepend->prefix_, PartField<std::string>(json, "prepend", context));
    return prepend;
  }
  Result<> Normalize(std::string& text, TextScratch& scratch) const override {
    if (text.empty()) return {};
    UNSWIFT_RETURN_IF_ERROR(scratch.CheckTextSize(text.size() + prefix_.size()));
    text.insert(0, prefix_);
    return {};
  }

 private:
  std::string prefix_;
};

class ReplaceNormalizer final : public Normalizer {
 public:
  static Result<NormalizerPtr> Make(const Json& json, const PartContext& context) {
    auto replace = std::make_unique<ReplaceNormalizer>();
    UNSWIFT_ASSIGN_OR_RETURN(replace->pattern_, Pattern::FromJson(json, "pattern", context));
    UNSWIFT_ASSIGN_OR_RETURN(replace->content_, PartField<std::string>(json, "content", context));
    const bool is_regex = FindMember(json["pattern"], "Regex") != nullptr;
    if (is_regex && replace->content_.find('$') != std::string::npos) {
      return MakeError(
          ErrorCode::kUnsupported,
          "[open_tokenizer] {}: normalizer Replace: '$' in 'content' of a Regex is not "
          "supported",
          context.what);
    }
    return replace;
  }
  Result<> Normalize(std::string& text, TextScratch& scratch) const override {
    std::vector<ByteSpan> matches;
    UNSWIFT_RETURN_IF_ERROR(pattern_->FindAll(text, scratch, matches));
    if (matches.empty()) return {};
    const size_t max_bytes = text.size() + matches.size() * content_.size();
    UNSWIFT_RETURN_IF_ERROR(scratch.CheckTextSize(max_bytes));
    std::string replaced;
    replaced.reserve(max_bytes);
    size_t copied = 0;
    for (const ByteSpan& match : matches) {
      replaced.append(text, copied, match.begin - copied).append(content_);
      copied = match.end;
    }
    replaced.append(text, copied);
    text = std::move(replaced);
    return {};
  }

 private:
  std::unique_ptr<Pattern> pattern_;
  std::string content_;
};

using GetInstance = const icu::Normalizer2* (*)(UErrorCode&);

/// One of the normalization forms of Unicode.
template <GetInstance kGetInstance>
class UnicodeNormalizer final : public Normalizer {
 public:
  static Result<NormalizerPtr> Make(const Json&, const PartContext& context) {
    UErrorCode status = U_ZERO_ERROR;
    auto normalizer = std::make_unique<UnicodeNormalizer>();
    normalizer->form_ = kGetInstance(status);
    if (U_FAILURE(status)) {
      return MakeError(ErrorCode::kIo, "[open_tokenizer] {}: expected ICU's data, got {}",
                       context.what, u_errorName(status));
    }
    return normalizer;
  }
  Result<> Normalize(std::string& text, TextScratch& scratch) const override {
    const auto is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
    if (std::all_of(text.begin(), text.end(), is_ascii)) return {};
    std::string normalized;
    icu::StringByteSink<std::string> sink(&normalized, static_cast<int32_t>(text.size()));
    UErrorCode status = U_ZERO_ERROR;
    form_->normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<int32_t>(text.size())), sink,
                         nullptr, status);
    if (U_FAILURE(status)) {
      return MakeError(ErrorCode::kInvalidArgument, "[encode] normalization: {}",
                       u_errorName(status));
    }
    text = std::move(normalized);
    return scratch.CheckTextSize(text.size());
  }

 private:
  const icu::Normalizer2* form_ = nullptr;  // a singleton of ICU
};

constexpr std::array kNormalizers = {
    PartRow<Normalizer>{"Sequence", &SequenceNormalizer::Make},
    PartRow<Normalizer>{"Prepend", &PrependNormalizer::Make},
    PartRow<Normalizer>{"Replace", &ReplaceNormalizer::Make},
    PartRow<Normalizer>{"NFC", &UnicodeNormalizer<&icu::Normalizer2::getNFCInstance>::Make},
    PartRow<Normalizer>{"NFD", &UnicodeNormalizer<&icu::Normalizer2::getNFDInstance>::Make},
    PartRow<Normalizer>{"NFKC", &UnicodeNormalizer<&icu::Normalizer2::getNFKCInstance>::Make},
    PartRow<Normalizer>{"NFKD", &UnicodeNormalizer<&icu::Normalizer2::getNFKDInstance>::Make},
};

}  // namespace

Result<std::unique_ptr<Normalizer>> Normalizer::FromJson(const Json& json,
                                                         const PartContext& context) {
  return MakePart<Normalizer>(json, "normalizer", kNormalizers, context);
}

}  // namespace unswift
