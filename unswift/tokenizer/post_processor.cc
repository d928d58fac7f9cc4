#include "unswift/tokenizer/post_processor.h"

#include <array>
#include <utility>

#include "unswift/io/json.h"
#include "unswift/io/text.h"
#include "unswift/tokenizer/vocabulary.h"

namespace unswift {
namespace {

using PostProcessorPtr = std::unique_ptr<PostProcessor>;

class SequencePostProcessor final : public PostProcessor {
 public:
  static Result<PostProcessorPtr> Make(const Json& json, const PartContext& context) {
    auto sequence = std::make_unique<SequencePostProcessor>();
    UNSWIFT_ASSIGN_OR_RETURN(sequence->parts_, MakeParts<PostProcessor>(json, "processors", context,
                                                                        &PostProcessor::FromJson));
    return sequence;
  }
  void Process(std::vector<int32_t>& ids) const override {
    for (const PostProcessorPtr& part : parts_) part->Process(ids);
  }
  std::vector<int32_t> AddedIds() const override {
    std::vector<int32_t> all;
    for (const PostProcessorPtr& part : parts_) {
      const std::vector<int32_t> added = part->AddedIds();
      all.insert(all.end(), added.begin(), added.end());
    }
    return all;
  }

 private:
  std::vector<PostProcessorPtr> parts_;
};

/// Only trims the offsets of tokens, which are not kept here.
class ByteLevelPostProcessor final : public PostProcessor {
 public:
  static Result<PostProcessorPtr> Make(const Json&, const PartContext&) {
    return std::make_unique<ByteLevelPostProcessor>();
  }
  void Process(std::vector<int32_t>&) const override {}
};

class TemplatePostProcessor final : public PostProcessor {
 public:
  static Result<PostProcessorPtr> Make(const Json& json, const PartContext& context) {
    auto processor = std::make_unique<TemplatePostProcessor>();
    UNSWIFT_ASSIGN_OR_RETURN(const Json* items, PartArray(json, "single", context));
    for (const Json& item : *items)
      UNSWIFT_RETURN_IF_ERROR(processor->AddItem(item, json, context));
    return processor;
  }
  void Process(std::vector<int32_t>& ids) const override {
    const std::vector<int32_t> text = std::move(ids);
    ids.clear();
    for (const Item& item : items_) {
      const std::vector<int32_t>& part = item.is_text ? text : item.ids;
      ids.insert(ids.end(), part.begin(), part.end());
    }
  }
  std::vector<int32_t> AddedIds() const override {
    std::vector<int32_t> all;
    for (const Item& item : items_) all.insert(all.end(), item.ids.begin(), item.ids.end());
    return all;
  }

 private:
  struct Item {
    bool is_text = false;
    std::vector<int32_t> ids;  // of a special token
  };

  Result<> AddItem(const Json& item, const Json& json, const PartContext& context) {
    if (const Json* text = FindMember(item, "Sequence"); text != nullptr) {
      UNSWIFT_ASSIGN_OR_RETURN(const std::string id, PartField<std::string>(*text, "id", context));
      // The text twice would double the ids with every template of a Sequence.
      if (id != "A" || has_text_) return BadTemplate("sequence A once", id, context);
      has_text_ = true;
      items_.push_back({true, {}});
      return {};
    }
    const Json* special = FindMember(item, "SpecialToken");
    if (special == nullptr) return BadTemplate("Sequence or SpecialToken", "another item", context);
    UNSWIFT_ASSIGN_OR_RETURN(const std::string name,
                             PartField<std::string>(*special, "id", context));
    const Json* tokens = FindMember(json, "special_tokens");
    const Json* token = tokens == nullptr ? nullptr : FindMember(*tokens, name);
    if (token == nullptr) return BadTemplate("an entry in 'special_tokens' for", name, context);
    UNSWIFT_ASSIGN_OR_RETURN(const Json* ids, PartArray(*token, "ids", context));
    Item added;
    for (const Json& value : *ids) {
      UNSWIFT_ASSIGN_OR_RETURN(const int32_t id, ParseTokenId(value, name, context));
      added.ids.push_back(id);
    }
    items_.push_back(std::move(added));
    return {};
  }

  static tl::unexpected<Error> BadTemplate(std::string_view expected, std::string_view got,
                                           const PartContext& context) {
    return MakeError(ErrorCode::kInvalidData,
                     "[open_tokenizer] {}: TemplateProcessing 'single': expected {}, got '{}'",
                     context.what, expected, Shorten(got));
  }

  std::vector<Item> items_;
  bool has_text_ = false;
};

constexpr std::array kPostProcessors = {
    PartRow<PostProcessor>{"Sequence", &SequencePostProcessor::Make},
    PartRow<PostProcessor>{"TemplateProcessing", &TemplatePostProcessor::Make},
    PartRow<PostProcessor>{"ByteLevel", &ByteLevelPostProcessor::Make},
};

}  // namespace

Result<std::unique_ptr<PostProcessor>> PostProcessor::FromJson(const Json& json,
                                                               const PartContext& context) {
  return MakePart<PostProcessor>(json, "post_processor", kPostProcessors, context);
}

}  // namespace unswift
