// MatMul with q8_0 and q4_0 weights on every instruction set, and with the integer kernel.
#include "unswift/ops/cpu/packed_matmul.h"

#include <limits>

#include "tests/ops/kernel_test.h"
#include "unswift/ops/cpu/packed_vnni.h"
#include "unswift/ops/matmul.h"
#include "unswift/ops/reference/reference.h"

namespace unswift {
namespace {

/// A Highway target, and on the one that has it also the integer kernel.
struct KernelChoice {
  int64_t target;
  bool vnni;
};

std::vector<KernelChoice> KernelChoices() {
  std::vector<KernelChoice> choices;
  for (const int64_t target : KernelTargets()) choices.push_back({target, false});
  for (const int64_t target : KernelTargets()) {
    ForceKernelTarget(target);
    if (PackedKernelUsesVnni()) choices.push_back({target, true});
  }
  ForceKernelTarget(0);
  return choices;
}

class PackedMatMulTest : public testing::TestWithParam<KernelChoice> {
 protected:
  void SetUp() override {
    ForceKernelTarget(GetParam().target);
    AllowVnniForTest(GetParam().vnni);
    ASSERT_EQ(PackedKernelUsesVnni(), GetParam().vnni);
  }
  void TearDown() override {
    ForceKernelTarget(0);
    AllowVnniForTest(true);
  }
};

INSTANTIATE_TEST_SUITE_P(Kernel, PackedMatMulTest, testing::ValuesIn(KernelChoices()),
                         [](const auto& info) {
                           return KernelTargetName(info.param.target) +
                                  (info.param.vnni ? "_VNNI" : "");
                         });

/// What rounding the activations may change: sum over blocks of max|x| / (2 levels) sum|w|; one
/// part in 2^12 more for the scale's own roundings, and what counts as zero.
double ActivationError(std::span<const float> x, std::span<const float> w) {
  double error = 0.0;
  for (size_t begin = 0; begin < x.size(); begin += kQuantBlockSize) {
    double largest = 0.0, weights = 0.0;
    for (size_t k = begin; k < std::min(x.size(), begin + kQuantBlockSize); ++k) {
      largest = std::max(largest, std::abs(static_cast<double>(x[k])));
      weights += std::abs(w[k]);
    }
    error += (largest / (2.0 * kVnniLevels) + kVnniSmallest) * weights * (1.0 + 0x1p-12);
  }
  return error;
}

/// gamma_c of |bias| + |old y| + sum |x w|, c counting the roundings that one product passes
/// through. Float kernel: 32 multiply-adds of its block, then one per block. Integer kernel: the
/// conversion, the product of scales, one multiply-add per block. Both: bias, old value. GEMM:
/// matmul_test.cc, and the widened weight is rounded once. AMX cuts it as well (2^-17), but q4_0's
/// 15 bits fit.
double RoundingFactor(bool by_block, int64_t k, DType dtype) {
  const double blocks = static_cast<double>((k + kQuantBlockSize - 1) / kQuantBlockSize);
  const double c = by_block ? 32.0 + blocks + 5.0 : k + 1.0 + k / 2048 + 4.0;
  const double streaming = c * kUnitRoundoff / (1.0 - c * kUnitRoundoff);
  if (by_block || !MatMulUsesBf16Parts(dtype)) return streaming;
  const double cuts = dtype == DType::kQ8_0 ? 2.0 * 0x1p-17 : 0x1p-17;
  return cuts + 4.0 * streaming;
}

void ExpectWithinBound(bool vnni, ConstRows x, const MatrixView& weight, const float* bias,
                       ConstRows old_y, ConstRows y) {
  const auto expected = reference::MatMul(x, weight, bias);
  const bool few_rows = x.rows <= kSkinnyRows;
  const bool in_integers = vnni && (few_rows || !MatMulUsesBf16Parts(weight.dtype));
  const double factor = RoundingFactor(few_rows || in_integers, x.cols, weight.dtype);
  std::vector<float> w(weight.cols);
  for (int64_t c = 0; c < y.cols; ++c) {
    MatrixRowToF32(weight, c, w);
    for (int64_t r = 0; r < y.rows; ++r) {
      const double old = old_y.data == nullptr ? 0.0 : old_y.row(r)[c];
      double tolerance = factor * (expected.magnitude.at(r, c) + std::abs(old)) + 1e-37;
      if (in_integers) tolerance += ActivationError(x.row(r), w);
      ASSERT_NEAR(y.row(r)[c], expected.y.at(r, c) + old, tolerance)
          << "m " << x.rows << " n " << weight.rows << " k " << weight.cols << " at " << r << ", "
          << c << " " << DTypeName(weight.dtype);
    }
  }
}

void Check(bool vnni, DType dtype, int64_t m, int64_t n, int64_t k, bool with_bias,
           bool accumulate) {
  ThreadPool pool(2);
  TestRows x(m, k, 1), y(m, n, 2), bias(1, n, 3);
  TestRows old = y;
  const TestPackedWeight weight(dtype, n, k, 4, /*misalign=*/(m + n + k) % 2);
  const float* bias_data = with_bias ? bias.view().data : nullptr;
  MatMul(x.view(), weight.view(), bias_data, y.view(), pool,
         accumulate ? MatMulMode::kAccumulate : MatMulMode::kOverwrite);
  ExpectWithinBound(vnni, x.view(), weight.view(), bias_data,
                    accumulate ? ConstRows(old.view()) : ConstRows(), y.view());
  EXPECT_TRUE(y.GapsUntouched());
}

/// Every row of a product of m rows has the bits of its own product alone.
void ExpectRowsEqualSingleRows(const MatrixView& weight, int64_t m) {
  ThreadPool pool(2);
  TestRows x(m, weight.cols, 1), y(m, weight.rows, 2), single(1, weight.rows, 3);
  MatMul(x.view(), weight, nullptr, y.view(), pool);
  for (int64_t r = 0; r < m; ++r) {
    MatMul(x.view().Slice(r, 1), weight, nullptr, single.view(), pool);
    ASSERT_TRUE(std::ranges::equal(y.view().row(r), single.view().row(0))) << r << " of " << m;
  }
}

TEST_P(PackedMatMulTest, EveryNumberOfRows) {
  for (const DType dtype : kQuantizedTypes) {
    for (int64_t m = 1; m <= 35; ++m) {
      Check(GetParam().vnni, dtype, m, 37, 75, m % 2 == 0, m % 3 == 0);
    }
  }
}

TEST_P(PackedMatMulTest, OddSizes) {
  for (const DType dtype : kQuantizedTypes) {
    for (const int64_t m : {1, 3, 5, 35}) {
      for (const int64_t n : {1, 15, 16, 17, 100, 161}) {
        for (const int64_t k : {1, 2, 31, 32, 33, 64, 100}) {
          Check(GetParam().vnni, dtype, m, n, k, n % 2 == 0, k % 2 == 0);
        }
      }
    }
  }
}

TEST_P(PackedMatMulTest, ModelSizes) {
  for (const DType dtype : kQuantizedTypes) {
    for (const int64_t m : {1, 3, 12, 33}) {
      Check(GetParam().vnni, dtype, m, 200, 576, true, false);
    }
    Check(GetParam().vnni, dtype, 1, 67, 4099, false, true);
    Check(GetParam().vnni, dtype, 34, 400, 4099, true, true);  // several tiles of rows and columns
  }
}

TEST_P(PackedMatMulTest, EmptyInnerDimensionGivesTheBias) {
  ThreadPool pool(1);
  for (const int64_t m : {int64_t{2}, kSkinnyRows + 1}) {
    TestRows x(m, 0, 1), y(m, 5, 2), bias(1, 5, 3);
    const MatrixView weight = PackedView(DType::kQ8_0, 5, 0, nullptr);
    MatMul(x.view(), weight, bias.view().data, y.view(), pool);
    for (int64_t r = 0; r < m; ++r) {
      EXPECT_TRUE(std::ranges::equal(y.view().row(r), bias.view().row(0)));
    }
  }
}

TEST_P(PackedMatMulTest, ColumnAndRowViews) {
  ThreadPool pool(2);
  for (const DType dtype : kQuantizedTypes) {
    const TestPackedWeight weight(dtype, 60, 300, 4);
    for (const MatrixView& part : {weight.view().Columns(32, 96).Rows(16, 32),
                                   weight.view().Columns(64, 236).Rows(48, 12)}) {
      for (const int64_t m : {int64_t{1}, int64_t{4}, kSkinnyRows + 1}) {
        TestRows x(m, 400, 1), y(m, 100, 2);
        const Rows y_part = y.view().Columns(11, part.rows);
        MatMul(x.view().Columns(7, part.cols), part, nullptr, y_part, pool);
        ExpectWithinBound(GetParam().vnni, x.view().Columns(7, part.cols), part, nullptr, {},
                          y_part);
      }
    }
  }
}

// Down to one block's worth of precision: activations of very different size in different blocks.
TEST_P(PackedMatMulTest, BlocksOfVeryDifferentSize) {
  ThreadPool pool(1);
  for (const DType dtype : kQuantizedTypes) {
    const TestPackedWeight weight(dtype, 40, 320, 4);
    TestRows x(2, 320, 1), y(2, 40, 2);
    for (int64_t r = 0; r < 2; ++r) {
      for (int64_t k = 0; k < 320; ++k) {
        x.view().row(r)[k] *= std::pow(10.0f, static_cast<float>(k / 32 * 6 - 36));
      }
    }
    MatMul(x.view(), weight.view(), nullptr, y.view(), pool);
    ExpectWithinBound(GetParam().vnni, x.view(), weight.view(), nullptr, {}, y.view());
  }
}

// The extremes of both factors in one block: what the integers must hold.
TEST_P(PackedMatMulTest, LargestProducts) {
  ThreadPool pool(1);
  for (const float sign : {1.0f, -1.0f}) {
    std::vector<float> x(32, 3.0f * sign), w(32, -5.0f), y(1);
    std::vector<std::byte> group(16 * 34);
    PackRows(DType::kQ8_0, ConstRows(w.data(), 1, 32), group.data());
    const MatrixView weight = PackedView(DType::kQ8_0, 1, 32, group.data());
    MatMul({x.data(), 1, 32}, weight, nullptr, {y.data(), 1, 1}, pool);
    ExpectWithinBound(GetParam().vnni, {x.data(), 1, 32}, weight, nullptr, {}, {y.data(), 1, 1});
    EXPECT_NEAR(y[0], -480.0f * sign, 0.2f);
  }
}

TEST_P(PackedMatMulTest, SameBitsForAnyNumberOfThreads) {
  for (const DType dtype : kQuantizedTypes) {
    ExpectSameBitsForAnyNumberOfThreads(TestPackedWeight(dtype, 500, 577, 4).view());
  }
}

TEST_P(PackedMatMulTest, ARowDoesNotDependOnItsNeighbours) {
  for (const DType dtype : kQuantizedTypes) {
    ExpectARowDoesNotDependOnItsNeighbours(TestPackedWeight(dtype, 37, 203, 4).view());
  }
}

// Panels of rows, rows laid out at once, pieces of groups: none of them shows in an integer result.
TEST(PackedMatMulVnniTest, ManyRowsGiveTheBitsOfOne) {
  if (!PackedKernelUsesVnni()) GTEST_SKIP() << "no AVX-512 VNNI";
  for (const DType dtype : kQuantizedTypes) {
    if (MatMulUsesBf16Parts(dtype)) GTEST_SKIP() << "many rows go to the bf16 units";
    const TestPackedWeight weight(dtype, 147, 203, 4);
    for (const int64_t m : {int64_t{33}, int64_t{64}, int64_t{129}, int64_t{517}}) {
      ExpectRowsEqualSingleRows(weight.view(), m);
    }
  }
}

TEST_P(PackedMatMulTest, ActivationsThatAreNotFiniteShow) {
  ThreadPool pool(1);
  const TestPackedWeight weight(DType::kQ8_0, 20, 100, 4);
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    TestRows x(2, 100, 1), y(2, 20, 2);
    x.view().row(0)[70] = bad;
    MatMul(x.view(), weight.view(), nullptr, y.view(), pool);
    for (int64_t c = 0; c < 20; ++c) {
      EXPECT_FALSE(std::isfinite(y.view().row(0)[c]));
      EXPECT_TRUE(std::isfinite(y.view().row(1)[c]));
    }
  }
}

}  // namespace
}  // namespace unswift
