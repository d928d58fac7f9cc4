// Ways to read weights choose an order of memory, not of sums: they must agree bit for bit. That
// one of them is right, matmul_test.cc and packed_matmul_test.cc show.
#include "unswift/ops/cpu/weight_reads.h"

#include "tests/ops/kernel_test.h"

namespace unswift {
namespace {

class WeightReadsTest : public EveryTarget {
 protected:
  void TearDown() override {
    ForceWeightReadsForTest(std::nullopt);
    EveryTarget::TearDown();
  }
};
UNSWIFT_INSTANTIATE_FOR_EVERY_TARGET(WeightReadsTest);

/// A product of m rows, with bias and what was there before.
std::vector<float> Product(WeightReads reads, const MatrixView& weight, int64_t m) {
  ForceWeightReadsForTest(reads);
  ThreadPool pool(2);
  TestRows x(m, weight.cols, 1), y(m, weight.rows, 2), bias(1, weight.rows, 3);
  MatMul(x.view(), weight, bias.view().data, y.view(), pool, MatMulMode::kAccumulate);
  EXPECT_TRUE(y.GapsUntouched());
  return y.memory();
}

void ExpectAllEqual(const MatrixView& weight) {
  for (int64_t m = 1; m <= 3; ++m) {
    const std::vector<float> far = Product(WeightReads::kFar, weight, m);
    for (const WeightReads reads : {WeightReads::kNear, WeightReads::kPlain}) {
      EXPECT_EQ(Product(reads, weight, m), far)
          << DTypeName(weight.dtype) << " " << weight.rows << " x " << weight.cols << ", " << m
          << " rows, way " << static_cast<int>(reads);
    }
  }
}

// Rows of each length that a way treats differently, ends of all kinds, fewer rows than streams.
TEST_P(WeightReadsTest, GiveTheSameBits) {
  for (const int64_t k : {1, 31, 64, 100, 577, 1600, 2048, 2085}) {
    for (const int64_t n : {1, 7, 37, 161}) {
      for (const DType dtype : kFloatTypes) ExpectAllEqual(TestWeight(dtype, n, k, 4, 1).view());
      for (const DType dtype : kQuantizedTypes) {
        ExpectAllEqual(TestPackedWeight(dtype, n, k, 4, 1).view());
      }
    }
  }
}

TEST_P(WeightReadsTest, GiveTheSameBitsForLongRows) {
  for (const int64_t k : {8192, 70003}) {
    for (const DType dtype : kFloatTypes) ExpectAllEqual(TestWeight(dtype, 19, k, 4).view());
    for (const DType dtype : kQuantizedTypes) {
      ExpectAllEqual(TestPackedWeight(dtype, 19, k, 4).view());
    }
  }
}

}  // namespace
}  // namespace unswift
