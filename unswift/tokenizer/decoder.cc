#include "unswift/tokenizer/decoder.h"

#include <algorithm>
#include <array>
#include <utility>

#include "unswift/tokenizer/decoder_stages.h"
#include "unswift/tokenizer/regex.h"

namespace unswift {
namespace {

constexpr double kMaxGrowth = 64;

using DecoderPtr = std::unique_ptr<Decoder>;
using Stages = std::vector<std::unique_ptr<TokenSink>>;

template <typename StageType, typename... Args>
TokenSink& AddStage(Stages& owned, Args&&... args) {
  owned.push_back(std::make_unique<StageType>(std::forward<Args>(args)...));
  return *owned.back();
}

class SequenceDecoder final : public Decoder {
 public:
  static Result<DecoderPtr> Make(const Json& json, const PartContext& context) {
    auto sequence = std::make_unique<SequenceDecoder>();
    UNSWIFT_ASSIGN_OR_RETURN(sequence->parts_,
                             MakeParts<Decoder>(json, "decoders", context, &Decoder::FromJson));
    return sequence;
  }
  TokenSink& Start(TokenSink& next, Stages& owned) const override {
    TokenSink* first = &next;
    for (auto part = parts_.rbegin(); part != parts_.rend(); ++part) {
      first = &(*part)->Start(*first, owned);
    }
    return *first;
  }
  double Growth() const override {
    double growth = 1.0;
    for (const DecoderPtr& part : parts_) growth *= part->Growth();
    return growth;
  }

 private:
  std::vector<DecoderPtr> parts_;
};

/// A decoder without settings.
template <typename StageType>
class PlainDecoder final : public Decoder {
 public:
  static Result<DecoderPtr> Make(const Json&, const PartContext&) {
    return std::make_unique<PlainDecoder>();
  }
  TokenSink& Start(TokenSink& next, Stages& owned) const override {
    return AddStage<StageType>(owned, next);
  }
};

class ReplaceDecoder final : public Decoder {
 public:
  static Result<DecoderPtr> Make(const Json& json, const PartContext& context) {
    auto replace = std::make_unique<ReplaceDecoder>();
    UNSWIFT_ASSIGN_OR_RETURN(replace->pattern_, StringPattern(json, "pattern", context));
    UNSWIFT_ASSIGN_OR_RETURN(replace->content_, PartField<std::string>(json, "content", context));
    return replace;
  }
  TokenSink& Start(TokenSink& next, Stages& owned) const override {
    return AddStage<ReplaceStage>(owned, next, pattern_, content_);
  }
  double Growth() const override {
    return std::max(1.0, static_cast<double>(content_.size()) / pattern_.size());
  }

 private:
  std::string pattern_, content_;
};

class StripDecoder final : public Decoder {
 public:
  static Result<DecoderPtr> Make(const Json& json, const PartContext& context) {
    auto strip = std::make_unique<StripDecoder>();
    UNSWIFT_ASSIGN_OR_RETURN(strip->mark_, PartCharacter(json, "content", context));
    UNSWIFT_ASSIGN_OR_RETURN(strip->start_, Count(json, "start", context));
    UNSWIFT_ASSIGN_OR_RETURN(strip->stop_, Count(json, "stop", context));
    return strip;
  }
  TokenSink& Start(TokenSink& next, Stages& owned) const override {
    return AddStage<StripStage>(owned, next, mark_, start_, stop_);
  }

 private:
  static Result<size_t> Count(const Json& json, std::string_view key, const PartContext& context) {
    UNSWIFT_ASSIGN_OR_RETURN(const int64_t count, PartFieldOr<int64_t>(json, key, 0, context));
    if (count < 0) {
      return MakeError(ErrorCode::kInvalidData,
                       "[open_tokenizer] {}: Strip '{}': expected at least 0, got {}", context.what,
                       key, count);
    }
    return static_cast<size_t>(count);
  }

  std::string mark_;
  size_t start_ = 0;
  size_t stop_ = 0;
};

class MetaspaceDecoder final : public Decoder {
 public:
  static Result<DecoderPtr> Make(const Json& json, const PartContext& context) {
    auto metaspace = std::make_unique<MetaspaceDecoder>();
    UNSWIFT_ASSIGN_OR_RETURN(metaspace->settings_, MetaspaceSettings::FromJson(json, context));
    return metaspace;
  }
  TokenSink& Start(TokenSink& next, Stages& owned) const override {
    return AddStage<MetaspaceStage>(owned, next, settings_);
  }

 private:
  MetaspaceSettings settings_;
};

constexpr std::array kDecoders = {
    PartRow<Decoder>{"Sequence", &SequenceDecoder::Make},
    PartRow<Decoder>{"ByteLevel", &PlainDecoder<ByteLevelStage>::Make},
    PartRow<Decoder>{"Metaspace", &MetaspaceDecoder::Make},
    PartRow<Decoder>{"Replace", &ReplaceDecoder::Make},
    PartRow<Decoder>{"ByteFallback", &PlainDecoder<ByteFallbackStage>::Make},
    PartRow<Decoder>{"Fuse", &PlainDecoder<FuseStage>::Make},
    PartRow<Decoder>{"Strip", &StripDecoder::Make},
};

}  // namespace

Result<std::unique_ptr<Decoder>> Decoder::FromJson(const Json& json, const PartContext& context) {
  UNSWIFT_ASSIGN_OR_RETURN(DecoderPtr decoder,
                           MakePart<Decoder>(json, "decoder", kDecoders, context));
  if (const double growth = decoder->Growth(); growth > kMaxGrowth) {
    return MakeError(ErrorCode::kInvalidData,
                     "[open_tokenizer] {}: decoder: expected text to grow at most {}-fold, got {}",
                     context.what, kMaxGrowth, growth);
  }
  return decoder;
}

DecoderRun::DecoderRun(const Decoder* decoder) {
  TokenSink& collect = AddStage<CollectStage>(stages_, text_, decoder == nullptr ? " " : "");
  first_ = decoder == nullptr ? &collect : &decoder->Start(collect, stages_);
}

void DecoderRun::Token(std::string_view token) {
  first_->Text(token);
  first_->EndToken();
}

void DecoderRun::Finish() { first_->Finish(); }

std::string DecoderRun::TakeText() { return std::exchange(text_, {}); }

}  // namespace unswift
