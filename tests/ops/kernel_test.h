// Runs a test once per instruction set, and makes its inputs.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "unswift/base/random.h"
#include "unswift/base/thread_pool.h"
#include "unswift/ops/cpu/targets.h"
#include "unswift/ops/matmul.h"
#include "unswift/tensor/convert.h"
#include "unswift/tensor/packed.h"
#include "unswift/tensor/rows.h"
#include "unswift/tensor/tensor_view.h"

namespace unswift {

/// Half an ulp of 1: the largest relative error of one float32 rounding.
inline constexpr double kUnitRoundoff = 0x1p-24;

/// Every kernel call of the test runs on the target that is its parameter.
class EveryTarget : public ::testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override {
    ForceKernelTarget(GetParam());
    ASSERT_EQ(CurrentKernelTarget(), GetParam());
  }
  void TearDown() override { ForceKernelTarget(0); }
};

#define UNSWIFT_INSTANTIATE_FOR_EVERY_TARGET(suite)                   \
  INSTANTIATE_TEST_SUITE_P(                                           \
      Target, suite, ::testing::ValuesIn(::unswift::KernelTargets()), \
      [](const auto& info) { return ::unswift::KernelTargetName(info.param); })

/// A random matrix of normal values whose rows are farther apart than its columns need. The gap
/// holds a canary.
class TestRows {
 public:
  static constexpr float kCanary = 12345.0f;

  TestRows(int64_t rows, int64_t cols, uint64_t seed, double scale = 1.0, int64_t gap = 3)
      : rows_(rows), cols_(cols), stride_(cols + gap), values_(rows * stride_, kCanary) {
    Random random(seed);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < cols; ++c) {
        values_[r * stride_ + c] = static_cast<float>(scale * random.NextNormal());
      }
    }
  }
  Rows view() { return {values_.data(), rows_, cols_, stride_}; }
  const std::vector<float>& memory() const { return values_; }
  bool GapsUntouched() const {
    for (int64_t r = 0; r < rows_; ++r) {
      for (int64_t c = cols_; c < stride_; ++c) {
        if (values_[r * stride_ + c] != kCanary) return false;
      }
    }
    return true;
  }

 private:
  int64_t rows_, cols_, stride_;
  std::vector<float> values_;
};

/// A random stored weight matrix; its memory ends with its last element and starts `misalign` bytes
/// past an allocation's start.
class TestWeight {
 public:
  TestWeight(DType dtype, int64_t rows, int64_t cols, uint64_t seed, int64_t misalign = 0)
      : dtype_(dtype), rows_(rows), cols_(cols), misalign_(misalign) {
    const int64_t row_bytes = cols * BlockBytes(dtype);
    bytes_.resize(misalign + rows * row_bytes);
    Random random(seed);
    std::vector<float> row(cols);
    for (int64_t r = 0; r < rows && cols > 0; ++r) {
      for (float& v : row) v = static_cast<float>(random.NextNormal());
      RowFromF32(dtype, row, bytes_.data() + misalign + r * row_bytes);
    }
  }
  MatrixView view() const {
    return {dtype_, rows_, cols_, cols_ * BlockBytes(dtype_), bytes_.data() + misalign_};
  }

 private:
  DType dtype_;
  int64_t rows_, cols_, misalign_;
  std::vector<std::byte> bytes_;
};

/// The same, quantised and packed. magnitude: of the normal values.
class TestPackedWeight {
 public:
  TestPackedWeight(DType dtype, int64_t rows, int64_t cols, uint64_t seed, int64_t misalign = 0,
                   double magnitude = 1.0)
      : dtype_(dtype), rows_(rows), cols_(cols), misalign_(misalign) {
    TestRows values(rows, cols, seed, magnitude);
    const int64_t row_bytes = PackedView(dtype, rows, cols, nullptr).row_bytes;
    bytes_.resize(misalign + PackedView(dtype, rows, cols, nullptr).num_bytes());
    for (int64_t r = 0; r < rows; r += kPackedRows) {
      const ConstRows group = values.view().Slice(r, std::min(kPackedRows, rows - r));
      PackRows(dtype, group, bytes_.data() + misalign + r * row_bytes);
    }
  }
  MatrixView view() const { return PackedView(dtype_, rows_, cols_, bytes_.data() + misalign_); }

 private:
  DType dtype_;
  int64_t rows_, cols_, misalign_;
  std::vector<std::byte> bytes_;
};

/// y = x W^T has the same bits for 1, 2 and 3 threads, whatever kernel serves the number of rows.
inline void ExpectSameBitsForAnyNumberOfThreads(const MatrixView& weight) {
  for (const int64_t m : {1, 6, 40}) {
    std::vector<std::vector<float>> results;
    for (const int threads : {1, 2, 3}) {
      ThreadPool pool(threads);
      TestRows x(m, weight.cols, 1), y(m, weight.rows, 2);
      MatMul(x.view(), weight, nullptr, y.view(), pool);
      results.push_back(y.memory());
    }
    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(results[0], results[2]);
  }
}

/// Each row of a skinny batch has the bits that it has alone.
inline void ExpectARowDoesNotDependOnItsNeighbours(const MatrixView& weight) {
  ThreadPool pool(2);
  TestRows x(kSkinnyRows, weight.cols, 1);
  for (int64_t m = 1; m <= kSkinnyRows; ++m) {
    TestRows batch(m, weight.rows, 2), single(1, weight.rows, 3);
    MatMul(x.view().Slice(0, m), weight, nullptr, batch.view(), pool);
    MatMul(x.view().Slice(m - 1, 1), weight, nullptr, single.view(), pool);
    EXPECT_TRUE(std::ranges::equal(batch.view().row(m - 1), single.view().row(0))) << m;
  }
}

inline const DType kQuantizedTypes[] = {DType::kQ8_0, DType::kQ4_0};
inline const DType kFloatTypes[] = {DType::kF32, DType::kF16, DType::kBF16};

}  // namespace unswift
