#include "unswift/io/gguf_types.h"

#include <cstring>

#include "unswift/tensor/convert.h"

namespace unswift {
namespace {

/// Types that unswift stores too.
template <DType dtype>
void DequantizeAs(const std::byte* blocks, std::span<float> out) {
  RowToF32(dtype, blocks, out);
}

/// Block of 32: f16 scale, f16 minimum, 16 bytes of nibbles (low nibbles first); value = scale *
/// nibble + minimum in float32. The product (11 + 4 bits) is exact, so a fused multiply-add gives
/// the same bits.
void DequantizeQ4_1(const std::byte* blocks, std::span<float> out) {
  constexpr size_t kBlock = 32, kHalf = kBlock / 2, kBlockBytes = 4 + kHalf;
  for (size_t i = 0; i < out.size(); i += kBlock, blocks += kBlockBytes) {
    uint16_t header[2];
    std::memcpy(header, blocks, sizeof(header));
    const float scale = F16ToF32(header[0]);
    const float minimum = F16ToF32(header[1]);
    for (size_t k = 0; k < kHalf; ++k) {
      const int packed = std::to_integer<int>(blocks[4 + k]);
      out[i + k] = scale * static_cast<float>(packed & 15) + minimum;
      out[i + k + kHalf] = scale * static_cast<float>(packed >> 4) + minimum;
    }
  }
}

constexpr GgufTensorType kTypes[] = {
    {0, "F32", 1, 4, DequantizeAs<DType::kF32>},
    {1, "F16", 1, 2, DequantizeAs<DType::kF16>},
    {2, "Q4_0", 32, 18, DequantizeAs<DType::kQ4_0>},
    {3, "Q4_1", 32, 20, DequantizeQ4_1},
    {6, "Q5_0", 32, 22, nullptr},
    {7, "Q5_1", 32, 24, nullptr},
    {8, "Q8_0", 32, 34, DequantizeAs<DType::kQ8_0>},
    {10, "Q2_K", 256, 84, nullptr},
    {11, "Q3_K", 256, 110, nullptr},
    {12, "Q4_K", 256, 144, nullptr},
    {13, "Q5_K", 256, 176, nullptr},
    {14, "Q6_K", 256, 210, nullptr},
    {15, "Q8_K", 256, 292, nullptr},
    {16, "IQ2_XXS", 256, 66, nullptr},
    {17, "IQ2_XS", 256, 74, nullptr},
    {18, "IQ3_XXS", 256, 98, nullptr},
    {19, "IQ1_S", 256, 50, nullptr},
    {20, "IQ4_NL", 32, 18, nullptr},
    {21, "IQ3_S", 256, 110, nullptr},
    {22, "IQ2_S", 256, 82, nullptr},
    {23, "IQ4_XS", 256, 136, nullptr},
    {24, "I8", 1, 1, nullptr},
    {25, "I16", 1, 2, nullptr},
    {26, "I32", 1, 4, nullptr},
    {27, "I64", 1, 8, nullptr},
    {28, "F64", 1, 8, nullptr},
    {29, "IQ1_M", 256, 56, nullptr},
    {30, "BF16", 1, 2, DequantizeAs<DType::kBF16>},
    {34, "TQ1_0", 256, 54, nullptr},
    {35, "TQ2_0", 256, 66, nullptr},
    {39, "MXFP4", 32, 17, nullptr},
};

}  // namespace

const GgufTensorType* FindGgufTensorType(uint32_t id) {
  for (const GgufTensorType& type : kTypes) {
    if (type.id == id) return &type;
  }
  return nullptr;
}

}  // namespace unswift
