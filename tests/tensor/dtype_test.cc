#include "unswift/tensor/dtype.h"

#include <gtest/gtest.h>

namespace unswift {
namespace {

TEST(DType, NamesAndSizes) {
  struct Row {
    DType dtype;
    const char* name;
    int64_t elements, bytes;
  };
  const Row rows[] = {
      {DType::kF32, "f32", 1, 4},     {DType::kF16, "f16", 1, 2},     {DType::kBF16, "bf16", 1, 2},
      {DType::kQ8_0, "q8_0", 32, 34}, {DType::kQ4_0, "q4_0", 32, 18}, {DType::kU8, "u8", 1, 1},
      {DType::kI8, "i8", 1, 1},       {DType::kI16, "i16", 1, 2},     {DType::kI32, "i32", 1, 4},
      {DType::kI64, "i64", 1, 8},     {DType::kF64, "f64", 1, 8},     {DType::kBool, "bool", 1, 1},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(DTypeName(row.dtype), row.name);
    EXPECT_EQ(ParseDType(row.name), row.dtype);
    EXPECT_EQ(BlockElements(row.dtype), row.elements) << row.name;
    EXPECT_EQ(BlockBytes(row.dtype), row.bytes) << row.name;
    EXPECT_EQ(IsQuantized(row.dtype), row.elements == 32) << row.name;
  }
  EXPECT_EQ(ParseDType("F32"), std::nullopt);
  EXPECT_EQ(ParseDType(""), std::nullopt);
  EXPECT_EQ(ParseDType("q8_1"), std::nullopt);
}

TEST(DType, FloatsArePlainWeights) {
  EXPECT_TRUE(IsFloat(DType::kF32) && IsFloat(DType::kF16) && IsFloat(DType::kBF16));
  EXPECT_FALSE(IsFloat(DType::kF64) || IsFloat(DType::kQ8_0) || IsFloat(DType::kU8));
}

}  // namespace
}  // namespace unswift
