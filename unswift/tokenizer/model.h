// Models: how a word becomes ids.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "unswift/tokenizer/part.h"
#include "unswift/tokenizer/vocabulary.h"

namespace unswift {

/// What one thread needs besides the immutable model: buffers and a cache of words.
class ModelScratch {
 public:
  virtual ~ModelScratch() = default;
};

class Model {
 public:
  virtual ~Model() = default;

  /// Appends the ids of `word` (valid UTF-8, not empty). `scratch` is of this model's NewScratch().
  virtual void Tokenize(std::string_view word, ModelScratch& scratch,
                        std::vector<int32_t>& ids) const = 0;
  virtual std::unique_ptr<ModelScratch> NewScratch() const = 0;
  virtual const Vocabulary& vocabulary() const = 0;

  /// Errors: kInvalidData, kUnsupported naming the type or the setting.
  static Result<std::unique_ptr<Model>> FromJson(const Json& json, const PartContext& context);
};

}  // namespace unswift
