#include "unswift/tokenizer/model.h"

#include <array>
#include <utility>

#include "unswift/io/json.h"
#include "unswift/io/text.h"
#include "unswift/tokenizer/bpe.h"
#include "unswift/tokenizer/unigram.h"

namespace unswift {
namespace {

/// A word is one token or the unknown token.
class WordLevelModel final : public Model {
 public:
  static Result<std::unique_ptr<Model>> Make(const Json& json, const PartContext& context) {
    auto model = std::make_unique<WordLevelModel>();
    UNSWIFT_ASSIGN_OR_RETURN(model->vocabulary_,
                             Vocabulary::FromJson(MemberOrNull(json, "vocab"), context));
    UNSWIFT_ASSIGN_OR_RETURN(const std::string unknown,
                             PartField<std::string>(json, "unk_token", context));
    const std::optional<int32_t> id = model->vocabulary_.Find(unknown);
    if (!id) {
      return MakeError(ErrorCode::kInvalidData,
                       "[open_tokenizer] {}: 'unk_token': expected a token of 'vocab', got '{}'",
                       context.what, Shorten(unknown));
    }
    model->unknown_id_ = *id;
    return model;
  }

  void Tokenize(std::string_view word, ModelScratch&, std::vector<int32_t>& ids) const override {
    ids.push_back(vocabulary_.Find(word).value_or(unknown_id_));
  }
  std::unique_ptr<ModelScratch> NewScratch() const override {
    return std::make_unique<ModelScratch>();
  }
  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  Vocabulary vocabulary_;
  int32_t unknown_id_ = 0;
};

constexpr std::array kModels = {
    PartRow<Model>{"BPE", &MakeBpeModel},
    PartRow<Model>{"Unigram", &MakeUnigramModel},
    PartRow<Model>{"WordLevel", &WordLevelModel::Make},
};

}  // namespace

Result<std::unique_ptr<Model>> Model::FromJson(const Json& json, const PartContext& context) {
  // Files written before the models had a type hold BPE.
  if (json.is_object() && !json.contains("type") && json.contains("merges")) {
    return MakeBpeModel(json, context);
  }
  return MakePart<Model>(json, "model", kModels, context);
}

}  // namespace unswift
