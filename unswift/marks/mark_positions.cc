#include "unswift/marks/mark_positions.h"

#include <sodium.h>

#include <cstring>

#include "unswift/base/check.h"
#include "unswift/marks/mark_code.h"

namespace unswift {
namespace {

// A word of the stream: 6 bits choose, 12 name the symbol, one the direction.
static_assert(kMarkedOneOf == 1u << 6 && kCodeLength == 1 << 12);

/// The range of magnitudes with a step in both directions, and the step, in units of the last
/// place.
struct StepRule {
  uint32_t step, first, last;
};
constexpr StepRule kBf16Rule = {1, 0x0100, 0x7e80};
constexpr StepRule kF16Rule = {8, 0x0800, 0x7800};
constexpr StepRule kF32Rule = {1u << 16, 0x01000000, 0x7e800000};

template <typename Word>
bool StepWord(const StepRule& rule, std::byte* weight, int direction) {
  constexpr Word kSign = Word{1} << (8 * sizeof(Word) - 1);
  Word bits;
  std::memcpy(&bits, weight, sizeof(bits));
  const Word magnitude = bits & static_cast<Word>(~kSign);
  if (magnitude < rule.first || magnitude > rule.last) return false;
  bits = static_cast<Word>(direction > 0 ? bits + rule.step : bits - rule.step);
  std::memcpy(weight, &bits, sizeof(bits));
  return true;
}

}  // namespace

const MatrixView& MatrixOf(const LayerWeights& layer, MarkedMatrix matrix) {
  switch (matrix) {
    case MarkedMatrix::kGate:
      return layer.mlp.gate_proj.weight;
    case MarkedMatrix::kUp:
      return layer.mlp.up_proj.weight;
    case MarkedMatrix::kDown:
      return layer.mlp.down_proj.weight;
    case MarkedMatrix::kAttentionOutput:
      return layer.attention.o_proj.weight;
  }
  UNSWIFT_CHECK(false);
}

Result<MarkPositions> MarkPositions::Create(MarkKey key, int64_t layer, MarkedMatrix matrix) {
  static_assert(crypto_stream_chacha20_KEYBYTES == kMarkKeyBytes);
  MarkPositions positions;
  UNSWIFT_ASSIGN_OR_RETURN(positions.key_, SecretMemory::Allocate(kMarkKeyBytes));
  unsigned char name[9] = {};
  for (int i = 0; i < 8; ++i) name[i] = static_cast<unsigned char>(layer >> (8 * i));
  name[8] = static_cast<unsigned char>(matrix);
  crypto_generichash(reinterpret_cast<unsigned char*>(positions.key_.data()), kMarkKeyBytes, name,
                     sizeof(name), reinterpret_cast<const unsigned char*>(key.data()), key.size());
  return positions;
}

std::vector<Mark> MarkPositions::Row(int64_t row, int64_t columns) const {
  std::vector<uint32_t> words(columns);
  unsigned char nonce[crypto_stream_chacha20_NONCEBYTES] = {};
  for (size_t i = 0; i < sizeof(nonce); ++i) nonce[i] = static_cast<unsigned char>(row >> (8 * i));
  crypto_stream_chacha20(reinterpret_cast<unsigned char*>(words.data()),
                         words.size() * sizeof(uint32_t), nonce,
                         reinterpret_cast<const unsigned char*>(key_.data()));
  std::vector<Mark> marks;
  for (int64_t column = 0; column < columns; ++column) {
    const uint32_t word = words[column];
    if (word % kMarkedOneOf != 0) continue;
    marks.push_back({static_cast<int32_t>(column),
                     static_cast<int16_t>(word >> 6 & (kCodeLength - 1)),
                     static_cast<int8_t>((word >> 18 & 1) != 0 ? 1 : -1)});
  }
  return marks;
}

bool StepWeight(DType dtype, std::byte* weight, int direction) {
  switch (dtype) {
    case DType::kBF16:
      return StepWord<uint16_t>(kBf16Rule, weight, direction);
    case DType::kF16:
      return StepWord<uint16_t>(kF16Rule, weight, direction);
    case DType::kF32:
      return StepWord<uint32_t>(kF32Rule, weight, direction);
    default:
      return false;
  }
}

}  // namespace unswift
