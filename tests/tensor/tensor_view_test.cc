#include "unswift/tensor/tensor_view.h"

#include <gtest/gtest.h>

#include "unswift/tensor/rows.h"

namespace unswift {
namespace {

TEST(Shape, ElementsAndText) {
  EXPECT_EQ(NumElements({}), 1);
  EXPECT_EQ(NumElements({2, 3, 4}), 24);
  EXPECT_EQ(NumElements({2, 0}), 0);
  EXPECT_EQ(ShapeString({}), "[]");
  EXPECT_EQ(ShapeString({2, 3}), "[2, 3]");
}

TEST(MatrixView, RangesOfAPlainMatrix) {
  const float values[6] = {0, 1, 2, 3, 4, 5};
  const TensorView tensor = {DType::kF32, {2, 3}, reinterpret_cast<const std::byte*>(values), 24};
  const MatrixView matrix = AsMatrix(tensor);
  EXPECT_EQ(matrix.rows, 2);
  EXPECT_EQ(matrix.cols, 3);
  EXPECT_EQ(matrix.num_bytes(), 24);
  EXPECT_EQ(*reinterpret_cast<const float*>(matrix.row(1)), 3.0f);
  const MatrixView columns = matrix.Columns(1, 2);
  EXPECT_EQ(columns.cols, 2);
  EXPECT_EQ(*reinterpret_cast<const float*>(columns.row(1)), 4.0f);
  EXPECT_EQ(columns.num_bytes(), 16);
  EXPECT_EQ(*reinterpret_cast<const float*>(matrix.Rows(1, 1).row(0)), 3.0f);
}

TEST(MatrixViewDeathTest, RangesMustFit) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  std::byte bytes[2 * 544] = {};
  const MatrixView matrix{DType::kQ8_0, 20, 32, 34, bytes};
  EXPECT_DEATH(matrix.Columns(16, 16), "broken invariant");
  EXPECT_DEATH(matrix.Columns(0, 16), "broken invariant");
  EXPECT_DEATH(matrix.Columns(0, 64), "broken invariant");
  EXPECT_DEATH(matrix.Rows(1, 16), "broken invariant");
  EXPECT_DEATH(matrix.Rows(0, 17), "broken invariant");
  EXPECT_DEATH(matrix.Rows(16, 16), "broken invariant");
  EXPECT_DEATH(matrix.row(0), "broken invariant");
}

TEST(Rows, SlicesAndColumnsShareTheData) {
  float values[12];
  for (int i = 0; i < 12; ++i) values[i] = static_cast<float>(i);
  const Rows rows(values, 3, 4);
  EXPECT_EQ(rows.row(2)[1], 9.0f);
  const Rows part = rows.Slice(1, 2).Columns(2, 2);
  EXPECT_EQ(part.row(0)[0], 6.0f);
  EXPECT_EQ(part.row(1)[1], 11.0f);
  part.row(0)[0] = -1.0f;
  const ConstRows view = rows;
  EXPECT_EQ(view.row(1)[2], -1.0f);
}

}  // namespace
}  // namespace unswift
