// Post-processors: special tokens around the ids of a text.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "unswift/tokenizer/part.h"

namespace unswift {

class PostProcessor {
 public:
  virtual ~PostProcessor() = default;
  virtual void Process(std::vector<int32_t>& ids) const = 0;

  /// Errors: kInvalidData, kUnsupported naming the type.
  static Result<std::unique_ptr<PostProcessor>> FromJson(const Json& json,
                                                         const PartContext& context);
  /// The ids that Process may add, so that the caller can check that they have tokens.
  virtual std::vector<int32_t> AddedIds() const { return {}; }
};

}  // namespace unswift
