#include "unswift/ops/pack.h"

#include <cstring>

#include "tests/ops/kernel_test.h"

namespace unswift {
namespace {

class PackTest : public EveryTarget {};
UNSWIFT_INSTANTIATE_FOR_EVERY_TARGET(PackTest);

std::vector<std::byte> PackedBytes(DType dtype, ConstRows rows, bool fast) {
  std::vector<std::byte> group(PackedView(dtype, rows.rows, rows.cols, nullptr).num_bytes());
  if (fast) {
    FastPackRows(dtype, rows, group.data());
  } else {
    PackRows(dtype, rows, group.data());
  }
  return group;
}

TEST_P(PackTest, PacksAsTheScalarDefinition) {
  for (const DType dtype : kQuantizedTypes) {
    for (const int64_t rows : {1, 7, 16}) {
      for (const int64_t cols : {1, 31, 32, 33, 577}) {
        for (const double magnitude : {1e-9, 0.02, 3000.0}) {
          TestRows values(rows, cols, 1, magnitude);
          EXPECT_EQ(PackedBytes(dtype, values.view(), true),
                    PackedBytes(dtype, values.view(), false))
              << DTypeName(dtype) << rows << " x " << cols;
        }
      }
    }
  }
}

// Halves go away from zero, equal extremes of both signs take the first one's, zeros stay.
TEST_P(PackTest, TiesAndZeros) {
  std::vector<float> ties(64), extremes(64), zeros(64, 0.0f);
  for (int i = 0; i < 64; ++i) ties[i] = (static_cast<float>(i) - 32.0f) * 0.5f;
  ties[5] = 127.0f, ties[40] = -127.0f;
  for (int i = 0; i < 64; ++i) extremes[i] = static_cast<float>(i % 5) - 2.0f;
  extremes[32] = 2.0f;
  for (std::vector<float>* row : {&ties, &extremes, &zeros}) {
    for (const DType dtype : kQuantizedTypes) {
      const ConstRows rows(row->data(), 1, 64);
      EXPECT_EQ(PackedBytes(dtype, rows, true), PackedBytes(dtype, rows, false));
    }
  }
}

TEST_P(PackTest, WidensAsTheScalarDefinition) {
  for (const DType dtype : kQuantizedTypes) {
    const TestPackedWeight weight(dtype, 35, 100, 2, /*misalign=*/3);
    for (const MatrixView& view : {weight.view(), weight.view().Columns(32, 68).Rows(16, 19)}) {
      std::vector<float> expected(view.cols), actual(view.cols);
      for (int64_t r = 0; r < view.rows; ++r) {
        MatrixRowToF32(view, r, expected);
        FastMatrixRowToF32(view, r, actual);
        EXPECT_EQ(actual, expected);
      }
    }
  }
}

TEST_P(PackTest, ConvertsBetweenAllTypes) {
  const DType types[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0};
  for (const DType from : types) {
    for (const DType to : types) {
      const TestWeight plain(IsQuantized(from) ? DType::kF32 : from, 37, 70, 5);
      const TestPackedWeight packed(IsQuantized(from) ? from : DType::kQ8_0, 37, 70, 5);
      const MatrixView source = IsQuantized(from) ? packed.view() : plain.view();
      std::vector<std::vector<std::byte>> results;
      ConversionLoss loss;
      for (const int threads : {1, 3}) {
        ThreadPool pool(threads);
        std::vector<std::byte> out(ConvertedBytes(source, to));
        loss = ConvertMatrix(source, to, out.data(), pool);
        results.push_back(std::move(out));
      }
      EXPECT_EQ(results[0], results[1]);
      const MatrixView target = ConvertedView(source, to, results[0].data());
      double error = 0.0, total = 0.0;
      std::vector<float> before(70), after(70);
      for (int64_t r = 0; r < 37; ++r) {
        MatrixRowToF32(source, r, before);
        MatrixRowToF32(target, r, after);
        for (int64_t c = 0; c < 70; ++c) {
          error += (double(after[c]) - before[c]) * (double(after[c]) - before[c]);
          total += double(before[c]) * before[c];
        }
      }
      EXPECT_NEAR(loss.squared_sum, from == to ? 0.0 : total, 1e-5 * total);
      EXPECT_NEAR(loss.squared_error, error, 1e-3 * error + 1e-13 * total);
      // A step of q8_0 is 1/127 of a block's largest, uniform errors: about 0.6 % of normal values.
      const double expected = to == DType::kQ8_0 ? 6e-3 : to == DType::kQ4_0 ? 0.1 : 2e-3;
      EXPECT_LE(loss.relative_rms(), expected) << DTypeName(from) << " to " << DTypeName(to);
      if (from == to || to == DType::kF32) {
        EXPECT_LE(error, 1e-13 * total);
      }
    }
  }
}

TEST_P(PackTest, CopiesColumnsOfAWiderMatrix) {
  ThreadPool pool(2);
  for (const DType dtype : {DType::kBF16, DType::kQ8_0, DType::kQ4_0}) {
    const TestWeight plain(DType::kBF16, 37, 102, 5);
    const TestPackedWeight packed(IsQuantized(dtype) ? dtype : DType::kQ8_0, 37, 102, 5);
    const MatrixView source = (IsQuantized(dtype) ? packed.view() : plain.view()).Columns(32, 70);
    std::vector<std::byte> out(ConvertedBytes(source, dtype));
    ConvertMatrix(source, dtype, out.data(), pool);
    const MatrixView copy = ConvertedView(source, dtype, out.data());
    std::vector<float> expected(70), actual(70);
    for (int64_t r = 0; r < 37; ++r) {
      MatrixRowToF32(source, r, expected);
      MatrixRowToF32(copy, r, actual);
      ASSERT_EQ(actual, expected) << DTypeName(dtype) << " row " << r;
    }
  }
}

}  // namespace
}  // namespace unswift
