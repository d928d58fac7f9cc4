// Which unit of one MLP is which of another.
#pragma once

#include <vector>

#include "unswift/base/thread_pool.h"
#include "unswift/model/model.h"

namespace unswift {

struct UnitAlignment {
  std::vector<int64_t> suspect_unit;  ///< of each original unit; -1: none is like it
  std::vector<float> scale;           ///< what the suspect's down column has to be multiplied by
  int64_t num_matched = 0;
};

/// By the cosine of gate rows (of a plain MLP: up rows), each unit taken once. Cost: O(units x
/// hidden_size) when the order is the same, else a matrix product of units^2 x hidden_size.
UnitAlignment AlignUnits(const MlpWeights& suspect, const MlpWeights& original, ThreadPool& pool);

}  // namespace unswift
