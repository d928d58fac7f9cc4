// Where the marks of a model are, and how large: drawn from the registry's key, the same for all
// recipients, so that those who compare their copies see only where their codewords differ.
#pragma once

#include <cstdint>
#include <vector>

#include "unswift/marks/registry.h"
#include "unswift/model/model.h"

namespace unswift {

/// The matrices of a layer that carry marks: all of its MLP, and attention's output.
enum class MarkedMatrix { kGate, kUp, kDown, kAttentionOutput };
inline constexpr MarkedMatrix kMarkedMatrices[] = {
    MarkedMatrix::kGate, MarkedMatrix::kUp, MarkedMatrix::kDown, MarkedMatrix::kAttentionOutput};

/// That matrix of a plain model, [out, in] (as stored, when bound with Conv1dWeights::kKeep); empty
/// when the architecture has none.
const MatrixView& MatrixOf(const LayerWeights& layer, MarkedMatrix matrix);

/// One weight in kMarkedOneOf carries a mark.
inline constexpr uint32_t kMarkedOneOf = 64;

struct Mark {
  int32_t column = 0;
  int16_t symbol = 0;    ///< of the codeword
  int8_t direction = 0;  ///< +1: a symbol of 1 makes the weight larger in magnitude; -1: smaller
};

/// The marks of one matrix.
class MarkPositions {
 public:
  static Result<MarkPositions> Create(MarkKey key, int64_t layer, MarkedMatrix matrix);
  /// The marks of output row `row`, ascending by column. Thread-safe.
  std::vector<Mark> Row(int64_t row, int64_t columns) const;

 private:
  MarkPositions() = default;
  SecretMemory key_;
};

/// Moves a stored weight (f32, f16, bf16) by one step, direction +1 or -1 in magnitude: one unit in
/// the last place of a bf16, 2^-8 to 2^-7 of the weight in every type. False, and nothing done, for
/// weights that have no such step (zeros, subnormal and huge numbers, NaN).
bool StepWeight(DType dtype, std::byte* weight, int direction);

}  // namespace unswift
