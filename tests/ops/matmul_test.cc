#include "unswift/ops/matmul.h"

#include <limits>

#include "tests/ops/kernel_test.h"
#include "unswift/ops/reference/reference.h"

namespace unswift {
namespace {

class MatMulTest : public EveryTarget {};
UNSWIFT_INSTANTIATE_FOR_EVERY_TARGET(MatMulTest);

// |err| <= gamma_c * sum |x_k w_k| (with |bias| and the old y in the sum), gamma_c = c u / (1 - c
// u), where c counts the roundings that one product can pass through. Weights widen exactly.
//
// Streaming kernel: a lane takes one fused multiply-add per vector, 2 ceil(k / 2N) of them; then
// log2(N) additions across lanes, the bias, the old value.
// GEMM: whatever oneDNN's blocking, a product passes through at most k additions and its own
// rounding; then one addition per block of 2048 columns (beta = 1), bias, and old value.
// bf16 parts: an activation's cut (2^-17; the weights' is exact for bf16 and f16), and at most 4 (k
// + 1) roundings of a sum of up to four products per term.
double BoundFactor(int64_t m, int64_t k, DType weight) {
  const double lanes = static_cast<double>(CurrentKernelLanes());
  const bool streaming = m <= kSkinnyRows;
  const bool bf16_parts = !streaming && MatMulUsesBf16Parts(weight);
  const double c = streaming    ? 2.0 * std::ceil(k / (2.0 * lanes)) + std::log2(lanes) + 2.0
                   : bf16_parts ? 4.0 * (k + 1.0) + 2.0
                                : k + 1.0 + k / 2048 + 2.0;
  const double cut = bf16_parts ? 0x1p-17 : 0.0;
  return cut + c * kUnitRoundoff / (1.0 - c * kUnitRoundoff);
}

void ExpectWithinBound(ConstRows x, const MatrixView& weight, const float* bias, ConstRows old_y,
                       ConstRows y) {
  const auto expected = reference::MatMul(x, weight, bias);
  const double factor = BoundFactor(x.rows, x.cols, weight.dtype);
  for (int64_t r = 0; r < y.rows; ++r) {
    for (int64_t c = 0; c < y.cols; ++c) {
      const double old = old_y.data == nullptr ? 0.0 : old_y.row(r)[c];
      const double tolerance = factor * (expected.magnitude.at(r, c) + std::abs(old)) + 1e-37;
      ASSERT_NEAR(y.row(r)[c], expected.y.at(r, c) + old, tolerance)
          << "m " << x.rows << " n " << weight.rows << " k " << weight.cols << " at " << r << ", "
          << c << " " << DTypeName(weight.dtype);
    }
  }
}

void Check(DType dtype, int64_t m, int64_t n, int64_t k, bool with_bias, bool accumulate) {
  ThreadPool pool(2);
  TestRows x(m, k, 1), y(m, n, 2), bias(1, n, 3);
  const TestRows old = y;
  TestRows old_copy = old;
  const TestWeight weight(dtype, n, k, 4, /*misalign=*/(m + n + k) % 2);
  const float* bias_data = with_bias ? bias.view().data : nullptr;
  MatMul(x.view(), weight.view(), bias_data, y.view(), pool,
         accumulate ? MatMulMode::kAccumulate : MatMulMode::kOverwrite);
  ExpectWithinBound(x.view(), weight.view(), bias_data,
                    accumulate ? ConstRows(old_copy.view()) : ConstRows(), y.view());
  EXPECT_TRUE(y.GapsUntouched());
}

TEST_P(MatMulTest, EveryNumberOfRows) {
  for (const DType dtype : kFloatTypes) {
    for (int64_t m = 1; m <= 40; ++m) Check(dtype, m, 13, 75, m % 2 == 0, m % 3 == 0);
  }
}

TEST_P(MatMulTest, OddSizes) {
  for (const DType dtype : kFloatTypes) {
    for (const int64_t m : {1, 2, 5, 7, 16, 35}) {
      for (const int64_t n : {1, 2, 3, 9, 31}) {
        for (const int64_t k : {1, 2, 3, 16, 17, 31, 32, 33, 64, 100}) {
          Check(dtype, m, n, k, n % 2 == 0, k % 2 == 0);
        }
      }
    }
  }
}

TEST_P(MatMulTest, ModelSizes) {
  for (const DType dtype : kFloatTypes) {
    for (const int64_t m : {1, 3, 33}) Check(dtype, m, 200, 576, true, false);
  }
  Check(DType::kBF16, 1, 67, 4099, false, true);
  Check(DType::kBF16, 16, 300, 9001, true, true);  // in parts of k
  Check(DType::kBF16, 34, 20, 4099, false, false);
  Check(DType::kBF16, 34, 400, 4099, true, true);  // several tiles of rows and of columns
}

// What a user may count on: 8 eps32 sum |x_k w_k|, whatever the path (cuts and roundings have
// random signs, so from some tens of terms on the derived worst case is far away).
TEST_P(MatMulTest, TypicalErrorIsOfFloat32Level) {
  constexpr double kEps32 = 0x1p-23;
  ThreadPool pool(2);
  for (const DType dtype : kFloatTypes) {
    for (const int64_t m : {1, 16, 33, 100}) {
      TestRows x(m, 576, 1), y(m, 150, 2);
      const TestWeight weight(dtype, 150, 576, 4);
      MatMul(x.view(), weight.view(), nullptr, y.view(), pool);
      const auto expected = reference::MatMul(x.view(), weight.view(), nullptr);
      for (int64_t r = 0; r < m; ++r) {
        for (int64_t c = 0; c < 150; ++c) {
          ASSERT_NEAR(y.view().row(r)[c], expected.y.at(r, c),
                      8 * kEps32 * expected.magnitude.at(r, c))
              << DTypeName(dtype) << " m " << m;
        }
      }
    }
  }
}

void CheckRoundedActivations(int64_t m, int64_t n, int64_t k) {
  ThreadPool pool(2);
  const TestWeight weight(DType::kBF16, n, k, 4);
  TestRows x(m, k, 1), y(m, n, 2);
  MatMul(x.view(), weight.view(), nullptr, y.view(), pool, MatMulMode::kOverwrite,
         ActivationPrecision::kBF16);
  if (MatMulUsesBf16Parts(DType::kBF16, ActivationPrecision::kBF16)) {
    std::vector<std::byte> rounded(k * BlockBytes(DType::kBF16));
    for (int64_t r = 0; r < m; ++r) {
      RowFromF32(DType::kBF16, x.view().row(r), rounded.data());
      RowToF32(DType::kBF16, rounded.data(), x.view().row(r));
    }
  }
  ExpectWithinBound(x.view(), weight.view(), nullptr, {}, y.view());
}

// Several tiles of rows, columns and k: none of them whole, and all of one length, where weights
// are packed beside the products of others.
TEST_P(MatMulTest, RoundedActivationsAreRoundedAndNothingElse) {
  CheckRoundedActivations(117, 300, 1100);
  CheckRoundedActivations(33, 650, 2048);
}

TEST_P(MatMulTest, EmptyInnerDimensionGivesTheBias) {
  ThreadPool pool(1);
  for (const int64_t m : {int64_t{2}, kSkinnyRows + 1}) {
    TestRows x(m, 0, 1), y(m, 5, 2), bias(1, 5, 3);
    const TestWeight weight(DType::kF32, 5, 0, 4);
    MatMul(x.view(), weight.view(), bias.view().data, y.view(), pool);
    for (int64_t r = 0; r < m; ++r) {
      EXPECT_TRUE(std::ranges::equal(y.view().row(r), bias.view().row(0)));
    }
  }
}

TEST_P(MatMulTest, ColumnAndRowViews) {
  ThreadPool pool(2);
  for (const DType dtype : kFloatTypes) {
    const TestWeight weight(dtype, 40, 300, 4);
    const MatrixView part = weight.view().Columns(17, 121).Rows(5, 30);
    for (const int64_t m : {int64_t{1}, int64_t{4}, kSkinnyRows + 1}) {
      TestRows x(m, 400, 1), y(m, 100, 2);
      const Rows y_part = y.view().Columns(11, 30);
      MatMul(x.view().Columns(7, 121), part, nullptr, y_part, pool);
      ExpectWithinBound(x.view().Columns(7, 121), part, nullptr, {}, y_part);
    }
  }
}

TEST_P(MatMulTest, SameBitsForAnyNumberOfThreads) {
  for (const DType dtype : kFloatTypes) {
    ExpectSameBitsForAnyNumberOfThreads(TestWeight(dtype, 500, 577, 4).view());
  }
}

// Types change from weight to weight, and within a run of one type sizes do; one has no rows.
TEST_P(MatMulTest, SeveralWeightsGiveTheBitsOfEach) {
  const int64_t k = 96;
  const TestWeight floats[] = {TestWeight(DType::kBF16, 200, k, 1),
                               TestWeight(DType::kBF16, 70, k, 2),
                               TestWeight(DType::kF32, 33, k, 3)};
  const TestPackedWeight packed[] = {TestPackedWeight(DType::kQ8_0, 150, k, 4),
                                     TestPackedWeight(DType::kQ8_0, 64, k, 5),
                                     TestPackedWeight(DType::kQ4_0, 40, k, 6)};
  std::vector<MatrixView> weights;
  for (const TestWeight& weight : floats) weights.push_back(weight.view());
  for (const TestPackedWeight& weight : packed) weights.push_back(weight.view());
  for (const int num_threads : {1, 3}) {
    ThreadPool pool(num_threads);
    for (const int64_t m : {int64_t{1}, int64_t{7}, kSkinnyRows + 5, int64_t{520}}) {
      TestRows x(m, k, 7);
      for (const MatMulMode mode : {MatMulMode::kOverwrite, MatMulMode::kAccumulate}) {
        std::vector<TestRows> expected, together;
        std::vector<MatMulOutput> outputs;
        const std::vector<float> bias(200, 0.5f);
        for (const MatrixView& weight : weights) {
          expected.emplace_back(m, weight.rows, 8);
          together.push_back(expected.back());
          MatMul(x.view(), weight, bias.data(), expected.back().view(), pool, mode);
        }
        for (size_t i = 0; i < together.size(); ++i) {
          outputs.push_back({weights[i], bias.data(), together[i].view()});
        }
        MatrixView empty = weights[0];
        empty.rows = 0;
        outputs.insert(outputs.begin() + 1, {empty, nullptr, Rows(nullptr, m, 0)});
        MatMul(x.view(), outputs, pool, mode);
        for (size_t i = 0; i < together.size(); ++i) {
          EXPECT_EQ(together[i].memory(), expected[i].memory()) << i << " rows " << m;
        }
      }
    }
  }
}

TEST_P(MatMulTest, ARowDoesNotDependOnItsNeighbours) {
  for (const DType dtype : kFloatTypes) {
    ExpectARowDoesNotDependOnItsNeighbours(TestWeight(dtype, 37, 203, 4).view());
  }
  // Many rows in parts of k, few and one in a whole.
  ExpectARowDoesNotDependOnItsNeighbours(TestWeight(DType::kBF16, 9, 9001, 4).view());
}

TEST_P(MatMulTest, InfinityAndNanReachTheirOutputsOnly) {
  ThreadPool pool(1);
  const float infinity = std::numeric_limits<float>::infinity();
  for (const int64_t m : {int64_t{1}, kSkinnyRows + 1}) {
    std::vector<float> values(3 * 70, 1.0f);
    values[69] = infinity;           // row 0, in the tail
    values[70 + 5] = std::nanf("");  // row 1
    const MatrixView weight{DType::kF32, 3, 70, 70 * 4,
                            reinterpret_cast<const std::byte*>(values.data())};
    std::vector<float> ones(m * 70, 1.0f), y(m * 3);
    MatMul({ones.data(), m, 70}, weight, nullptr, {y.data(), m, 3}, pool);
    for (int64_t r = 0; r < m; ++r) {
      EXPECT_EQ(y[r * 3], infinity);
      EXPECT_TRUE(std::isnan(y[r * 3 + 1]));
      EXPECT_EQ(y[r * 3 + 2], 70.0f);
    }
  }
}

TEST_P(MatMulTest, SubnormalWeightsCount) {
  ThreadPool pool(1);
  const std::vector<uint16_t> bits(64, 1);  // smallest bf16
  const MatrixView weight{DType::kBF16, 1, 64, 128,
                          reinterpret_cast<const std::byte*>(bits.data())};
  const std::vector<float> x(64, 0x1p100f);
  float y = 0.0f;
  MatMul({x.data(), 1, 64}, weight, nullptr, {&y, 1, 1}, pool);
  EXPECT_EQ(y, 64 * 0x1p100f * 0x1p-133f);
}

}  // namespace
}  // namespace unswift
