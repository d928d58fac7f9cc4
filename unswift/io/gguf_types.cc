#include "unswift/io/gguf_types.h"

#include "unswift/io/gguf_blocks.h"
#include "unswift/tensor/convert.h"

namespace unswift {
namespace {

/// Types that unswift stores too.
template <DType dtype>
void DequantizeAs(const std::byte* blocks, std::span<float> out) {
  RowToF32(dtype, blocks, out);
}

constexpr GgufTensorType kTypes[] = {
    {0, "F32", 1, 4, DequantizeAs<DType::kF32>},
    {1, "F16", 1, 2, DequantizeAs<DType::kF16>},
    {2, "Q4_0", 32, 18, DequantizeAs<DType::kQ4_0>},
    {3, "Q4_1", 32, 20, DequantizeQ4_1},
    {6, "Q5_0", 32, 22, DequantizeQ5_0},
    {7, "Q5_1", 32, 24, DequantizeQ5_1},
    {8, "Q8_0", 32, 34, DequantizeAs<DType::kQ8_0>},
    {10, "Q2_K", 256, 84, DequantizeQ2_K},
    {11, "Q3_K", 256, 110, DequantizeQ3_K},
    {12, "Q4_K", 256, 144, DequantizeQ4_K},
    {13, "Q5_K", 256, 176, DequantizeQ5_K},
    {14, "Q6_K", 256, 210, DequantizeQ6_K},
    {15, "Q8_K", 256, 292, nullptr},
    {16, "IQ2_XXS", 256, 66, nullptr},
    {17, "IQ2_XS", 256, 74, nullptr},
    {18, "IQ3_XXS", 256, 98, nullptr},
    {19, "IQ1_S", 256, 50, nullptr},
    {20, "IQ4_NL", 32, 18, DequantizeIQ4_NL},
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

std::string DequantizableGgufTypes() {
  std::string names;
  for (const GgufTensorType& type : kTypes) {
    if (type.dequantize == nullptr) continue;
    if (!names.empty()) names += ", ";
    names += type.name;
  }
  return names;
}

}  // namespace unswift
