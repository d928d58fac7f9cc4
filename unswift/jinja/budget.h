// What one rendering may use, so that a hostile template ends in an error.
#pragma once

#include <cstddef>
#include <cstdint>

#include "unswift/base/result.h"

namespace unswift::jinja {

struct Limits {
  size_t max_source_bytes = size_t{1} << 20;
  int64_t max_steps = 10'000'000;              ///< evaluated nodes and visited elements
  int64_t max_bytes = int64_t{128} << 20;      ///< built in all: text, list elements
  int max_depth = 400;                         ///< nested evaluations, macro calls included
  static constexpr int kMaxSyntaxDepth = 200;  ///< of the template's own nesting
  static constexpr int kMaxValueDepth = 100;   ///< of lists and dicts within each other
};

class Budget {
 public:
  explicit Budget(const Limits& limits) : limits_(limits) {}

  Result<> Step(int64_t steps = 1) {
    if ((steps_ += steps) <= limits_.max_steps) return {};
    return MakeError(ErrorCode::kInvalidData, "expected at most {} steps, got more",
                     limits_.max_steps);
  }
  Result<> Bytes(size_t bytes) {
    if (bytes <= size_t{1} << 40 && (bytes_ += static_cast<int64_t>(bytes)) <= limits_.max_bytes) {
      return {};
    }
    return MakeError(ErrorCode::kInvalidData, "expected at most {} bytes of values, got more",
                     limits_.max_bytes);
  }
  const Limits& limits() const { return limits_; }

 private:
  Limits limits_;
  int64_t steps_ = 0, bytes_ = 0;
};

/// One level of nesting, as long as it lives.
class Level {
 public:
  explicit Level(int& depth) : depth_(depth) { ++depth_; }
  ~Level() { --depth_; }
  Level(const Level&) = delete;

 private:
  int& depth_;
};

}  // namespace unswift::jinja
