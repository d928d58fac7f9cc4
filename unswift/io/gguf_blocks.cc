#include "unswift/io/gguf_blocks.h"

#include <cstdint>
#include <cstring>

#include "unswift/tensor/convert.h"

namespace unswift {
namespace {

// A block's bytes, read as the format's struct. All are packed: bytes and 16-bit halves only.
using Half = uint16_t;

struct Q4_1 {
  static constexpr int kElements = 32;
  Half scale, minimum;
  uint8_t nibbles[16];
};
struct Q5_0 {
  static constexpr int kElements = 32;
  Half scale;
  uint8_t fifth_bits[4], nibbles[16];
};
struct Q5_1 {
  static constexpr int kElements = 32;
  Half scale, minimum;
  uint8_t fifth_bits[4], nibbles[16];
};
struct Q2_K {
  static constexpr int kElements = 256;
  uint8_t scales[16], pairs[64];  // scale and minimum of 16 elements in 4 bits each
  Half scale, minimum;
};
struct Q3_K {
  static constexpr int kElements = 256;
  uint8_t third_bits[32], pairs[64], scales[12];
  Half scale;
};
struct Q4_K {
  static constexpr int kElements = 256;
  Half scale, minimum;
  uint8_t scales[12], nibbles[128];
};
struct Q5_K {
  static constexpr int kElements = 256;
  Half scale, minimum;
  uint8_t scales[12], fifth_bits[32], nibbles[128];
};
struct Q6_K {
  static constexpr int kElements = 256;
  uint8_t nibbles[128], pairs[64];
  int8_t scales[16];
  Half scale;
};
struct IQ4_NL {
  static constexpr int kElements = 32;
  Half scale;
  uint8_t nibbles[16];
};
static_assert(sizeof(Q4_1) == 20 && sizeof(Q5_0) == 22 && sizeof(Q5_1) == 24);
static_assert(sizeof(Q2_K) == 84 && sizeof(Q3_K) == 110 && sizeof(Q4_K) == 144);
static_assert(sizeof(Q5_K) == 176 && sizeof(Q6_K) == 210 && sizeof(IQ4_NL) == 18);

/// Element i of a block whose low nibbles hold its first half.
int NibbleOfHalves(const uint8_t* nibbles, int i, int half) {
  return nibbles[i % half] >> (i / half * 4) & 15;
}
/// Element i of nibbles that lie so in runs of `run` bytes.
int NibbleOfRuns(const uint8_t* nibbles, int i, int run) {
  return NibbleOfHalves(nibbles + i / (2 * run) * run, i % (2 * run), run);
}
/// Element i of bit pairs: 32 bytes hold four times 32 elements, lowest bits first.
int PairOfRuns(const uint8_t* pairs, int i) {
  return pairs[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
}
/// Bit i of single bits: 32 bytes hold eight times 32 elements, lowest bits first.
int BitOfRuns(const uint8_t* bits, int i) { return bits[i % 32] >> (i / 32) & 1; }
/// Bit i of 32 in order.
int BitAt(const uint8_t* bits, int i) { return bits[i / 8] >> (i % 8) & 1; }

/// Q3_K's 6-bit scale of group g of 16: 16 low nibbles, then 16 pairs of high bits.
int Q3Scale(const uint8_t* scales, int g) {
  return (NibbleOfHalves(scales, g, 8) | (scales[8 + g % 4] >> (g / 4 * 2) & 3) << 4) - 32;
}

struct ScaleAndMinimum {
  int scale, minimum;
};
/// Q4_K's and Q5_K's 6-bit pair of group g of 8: the first four have bytes of their own, whose
/// upper two bits complete the nibbles of the last four.
ScaleAndMinimum Q4Scale(const uint8_t* scales, int g) {
  if (g < 4) return {scales[g] & 63, scales[g + 4] & 63};
  return {(scales[g + 4] & 15) | (scales[g - 4] >> 6) << 4, scales[g + 4] >> 4 | (scales[g] >> 6)
                                                                                     << 4};
}

float Times(float scale, int number) { return scale * static_cast<float>(number); }

void Widen(const Q4_1& block, float* out) {
  const float scale = F16ToF32(block.scale), minimum = F16ToF32(block.minimum);
  for (int i = 0; i < block.kElements; ++i) {
    out[i] = Times(scale, NibbleOfHalves(block.nibbles, i, 16)) + minimum;
  }
}

void Widen(const Q5_0& block, float* out) {
  const float scale = F16ToF32(block.scale);
  for (int i = 0; i < block.kElements; ++i) {
    const int number = NibbleOfHalves(block.nibbles, i, 16) | BitAt(block.fifth_bits, i) << 4;
    out[i] = Times(scale, number - 16);
  }
}

void Widen(const Q5_1& block, float* out) {
  const float scale = F16ToF32(block.scale), minimum = F16ToF32(block.minimum);
  for (int i = 0; i < block.kElements; ++i) {
    const int number = NibbleOfHalves(block.nibbles, i, 16) | BitAt(block.fifth_bits, i) << 4;
    out[i] = Times(scale, number) + minimum;
  }
}

void Widen(const Q2_K& block, float* out) {
  const float scale = F16ToF32(block.scale), minimum = F16ToF32(block.minimum);
  for (int i = 0; i < block.kElements; ++i) {
    const int packed = block.scales[i / 16];
    out[i] =
        Times(Times(scale, packed & 15), PairOfRuns(block.pairs, i)) - Times(minimum, packed >> 4);
  }
}

void Widen(const Q3_K& block, float* out) {
  const float scale = F16ToF32(block.scale);
  for (int i = 0; i < block.kElements; ++i) {
    const int number = PairOfRuns(block.pairs, i) - (BitOfRuns(block.third_bits, i) ? 0 : 4);
    out[i] = Times(Times(scale, Q3Scale(block.scales, i / 16)), number);
  }
}

void Widen(const Q4_K& block, float* out) {
  const float scale = F16ToF32(block.scale), minimum = F16ToF32(block.minimum);
  for (int i = 0; i < block.kElements; ++i) {
    const ScaleAndMinimum group = Q4Scale(block.scales, i / 32);
    out[i] = Times(Times(scale, group.scale), NibbleOfRuns(block.nibbles, i, 32)) -
             Times(minimum, group.minimum);
  }
}

void Widen(const Q5_K& block, float* out) {
  const float scale = F16ToF32(block.scale), minimum = F16ToF32(block.minimum);
  for (int i = 0; i < block.kElements; ++i) {
    const ScaleAndMinimum group = Q4Scale(block.scales, i / 32);
    const int number = NibbleOfRuns(block.nibbles, i, 32) | BitOfRuns(block.fifth_bits, i) << 4;
    out[i] = Times(Times(scale, group.scale), number) - Times(minimum, group.minimum);
  }
}

void Widen(const Q6_K& block, float* out) {
  const float scale = F16ToF32(block.scale);
  for (int i = 0; i < block.kElements; ++i) {
    const int number = NibbleOfRuns(block.nibbles, i, 64) | PairOfRuns(block.pairs, i) << 4;
    out[i] = Times(Times(scale, block.scales[i / 16]), number - 32);
  }
}

void Widen(const IQ4_NL& block, float* out) {
  constexpr int8_t kValues[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                  1,    13,   25,  38,  53,  69,  89,  113};
  const float scale = F16ToF32(block.scale);
  for (int i = 0; i < block.kElements; ++i) {
    out[i] = Times(scale, kValues[NibbleOfHalves(block.nibbles, i, 16)]);
  }
}

template <typename Block>
void WidenAll(const std::byte* bytes, std::span<float> out) {
  for (size_t i = 0; i < out.size(); i += Block::kElements, bytes += sizeof(Block)) {
    Block block;
    std::memcpy(&block, bytes, sizeof(Block));
    Widen(block, &out[i]);
  }
}

}  // namespace

void DequantizeQ4_1(const std::byte* blocks, std::span<float> out) { WidenAll<Q4_1>(blocks, out); }
void DequantizeQ5_0(const std::byte* blocks, std::span<float> out) { WidenAll<Q5_0>(blocks, out); }
void DequantizeQ5_1(const std::byte* blocks, std::span<float> out) { WidenAll<Q5_1>(blocks, out); }
void DequantizeQ2_K(const std::byte* blocks, std::span<float> out) { WidenAll<Q2_K>(blocks, out); }
void DequantizeQ3_K(const std::byte* blocks, std::span<float> out) { WidenAll<Q3_K>(blocks, out); }
void DequantizeQ4_K(const std::byte* blocks, std::span<float> out) { WidenAll<Q4_K>(blocks, out); }
void DequantizeQ5_K(const std::byte* blocks, std::span<float> out) { WidenAll<Q5_K>(blocks, out); }
void DequantizeQ6_K(const std::byte* blocks, std::span<float> out) { WidenAll<Q6_K>(blocks, out); }
void DequantizeIQ4_NL(const std::byte* blocks, std::span<float> out) {
  WidenAll<IQ4_NL>(blocks, out);
}

}  // namespace unswift
