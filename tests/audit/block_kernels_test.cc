// The passes over theta against double-precision sums, on every instruction set.
#include "unswift/audit/block_kernels.h"

#include <memory>

#include "tests/ops/kernel_test.h"

namespace unswift {
namespace {

constexpr int64_t kRows = 150;  // two whole sums of 64 rows and a part
constexpr int kOrders = 7;

class BlockKernels : public EveryTarget {
 protected:
  BlockKernels() {
    Random random(3);
    values_.resize(kRows * kOrders * kAuditLanes);
    for (float& v : values_) v = static_cast<float>(random.NextNormal());
    block_ = {0, kAuditLanes, 0, kOrders, kRows, values_.data()};
    w_.resize(kRows * kAuditLanes);
    for (float& v : w_) v = static_cast<float>(0.1 * random.NextNormal());
  }
  double theta(int64_t row, int n, int lane) const {
    return values_[(row * kOrders + n) * kAuditLanes + lane];
  }

  std::vector<float> values_, w_;
  ThetaBlock block_;
  std::unique_ptr<LaneDoubles[][kAuditOrders]> gram_ =
      std::make_unique<LaneDoubles[][kAuditOrders]>(kAuditOrders);
};

TEST_P(BlockKernels, GramOfOrders) {
  GramOfOrders(block_, gram_.get());
  for (int n = 0; n < kOrders; ++n) {
    for (int m = 0; m <= n; ++m) {
      for (int lane = 0; lane < kAuditLanes; ++lane) {
        double sum = 0.0, size = 0.0;
        for (int64_t i = 0; i < kRows; ++i) {
          sum += theta(i, n, lane) * theta(i, m, lane);
          size += std::abs(theta(i, n, lane) * theta(i, m, lane));
        }
        EXPECT_NEAR(gram_[n][m][lane], sum, kRows * 0x1p-53 * size);
      }
    }
  }
}

TEST_P(BlockKernels, ProjectRows) {
  alignas(64) LaneDoubles q[kOrders];
  for (int n = 0; n < kOrders; ++n) {
    for (int lane = 0; lane < kAuditLanes; ++lane) q[n][lane] = 0.3 * n - 0.1 * lane;
  }
  std::vector<float> w(kRows * kAuditLanes);
  ProjectRows(block_, q, w.data());
  for (int64_t i = 0; i < kRows; ++i) {
    for (int lane = 0; lane < kAuditLanes; ++lane) {
      double sum = 0.0, size = 0.0;
      for (int n = 0; n < kOrders; ++n) {
        sum += theta(i, n, lane) * q[n][lane];
        size += std::abs(theta(i, n, lane) * q[n][lane]);
      }
      EXPECT_NEAR(w[i * kAuditLanes + lane], sum, 2 * kUnitRoundoff * size);
    }
  }
}

TEST_P(BlockKernels, RelativeResiduals) {
  LaneFloats floor;
  std::fill(floor, floor + kAuditLanes, 0.03f);
  LaneDoubles slope[kAuditOrders];
  RelativeResiduals(block_, w_.data(), floor, slope, gram_.get());
  for (int lane = 0; lane < kAuditLanes; ++lane) {
    std::vector<int64_t> used;
    for (int64_t i = 0; i < kRows; ++i) {
      if (std::abs(w_[i * kAuditLanes + lane]) > 0.03f) used.push_back(i);
    }
    ASSERT_LT(used.size(), kRows);
    const double count = static_cast<double>(used.size());
    std::vector<double> mean(kOrders, 0.0), size(kOrders, 0.0);
    const auto ratio = [&](int64_t i, int n) {
      return theta(i, n, lane) / w_[i * kAuditLanes + lane];
    };
    for (int n = 0; n < kOrders; ++n) {
      for (int64_t i : used) {
        mean[n] += ratio(i, n) / count;
        size[n] += std::abs(ratio(i, n));
      }
      EXPECT_NEAR(slope[n][lane], mean[n], 67 * kUnitRoundoff * size[n] / count);
    }
    for (int n = 0; n < kOrders; ++n) {
      for (int m = 0; m <= n; ++m) {
        double sum = 0.0, total = 0.0;
        for (int64_t i : used) {
          const double a = ratio(i, n) - mean[n], b = ratio(i, m) - mean[m];
          sum += a * b / count;
          total += (std::abs(ratio(i, n)) + std::abs(mean[n])) *
                   (std::abs(ratio(i, m)) + std::abs(mean[m])) / count;
        }
        EXPECT_NEAR(gram_[n][m][lane], sum, 140 * kUnitRoundoff * total);
      }
    }
  }
}

TEST_P(BlockKernels, ScanGridFindsTheScale) {
  std::vector<float> w(kRows * kAuditLanes);
  float truth[kAuditLanes];
  for (int lane = 0; lane < kAuditLanes; ++lane) truth[lane] = std::exp(0.002f * (lane - 8));
  for (int64_t i = 0; i < kRows; ++i) {
    for (int lane = 0; lane < kAuditLanes; ++lane) {
      const float stored = Bf16ToF32(F32ToBf16(w_[i * kAuditLanes + lane]));
      w[i * kAuditLanes + lane] = stored * truth[lane];
    }
  }
  GridScan scan;
  scan.rows = kRows / 2;
  scan.row_stride = 2;
  scan.steps = 401;
  std::fill(scan.from, scan.from + kAuditLanes, std::exp(-0.02f));
  std::fill(scan.ratio, scan.ratio + kAuditLanes, std::exp(1e-4f));
  std::fill(scan.penalty, scan.penalty + kAuditLanes, 0.0f);
  alignas(64) LaneFloats scale, score;
  ScanForGrid(w.data(), scan, scale, score);
  for (int lane = 0; lane < kAuditLanes; ++lane) {
    EXPECT_NEAR(scale[lane] / truth[lane], 1.0, 1.1e-4) << lane;
    EXPECT_LT(score[lane], 2e-3) << lane;
  }
  // Numbers of no grid score about 1/12, and then trust in the scale 1 decides.
  std::fill(scan.penalty, scan.penalty + kAuditLanes, 1e3f);
  ScanForGrid(w_.data(), scan, scale, score);
  for (int lane = 0; lane < kAuditLanes; ++lane) {
    EXPECT_GT(score[lane], 0.05) << lane;
    EXPECT_NEAR(scale[lane], 1.0, 1e-2) << lane;
  }
}

TEST_P(BlockKernels, SumOfRows) {
  constexpr int64_t kStride = 301, kSize = 300;
  Random random(5);
  std::vector<float> rows(kOrders * kStride), weight(kOrders), sum(kSize);
  for (float& value : rows) value = static_cast<float>(random.NextNormal());
  for (float& value : weight) value = static_cast<float>(random.NextNormal());
  weight[2] = 0.0f;
  SumOfRows(rows.data() + 1, kStride, weight, sum);
  for (int64_t i = 0; i < kSize; ++i) {
    double want = 0.0, size = 0.0;
    for (int b = 0; b < kOrders; ++b) {
      want += static_cast<double>(weight[b]) * rows[b * kStride + i + 1];
      size += std::abs(weight[b] * rows[b * kStride + i + 1]);
    }
    EXPECT_NEAR(sum[i], want, (kOrders + 1) * kUnitRoundoff * size) << i;
  }
}

TEST_P(BlockKernels, WeightedLogs) {
  Random random(8);
  std::vector<float> weight(1100), value(weight.size());
  double want = 0.0, size = 0.0;
  for (size_t i = 0; i < weight.size(); ++i) {
    weight[i] = i % 7 == 0 ? 0.0f : static_cast<float>(random.NextBelow(30));
    value[i] = static_cast<float>(std::exp(-12.0 * random.NextUniform()));
    want += weight[i] * std::log(static_cast<double>(value[i]));
    size += std::abs(weight[i] * std::log(static_cast<double>(value[i])));
  }
  EXPECT_NEAR(WeightedLogs(weight, value), want, 16 * kUnitRoundoff * size);
}

TEST_P(BlockKernels, RelativeSlopesOfTheLowestOrder) {
  LaneFloats floor;
  std::fill_n(floor, kAuditLanes, 0.02f);
  LaneDoubles rows, slope;
  RelativeSlopes(block_, 1, w_.data(), floor, rows, &slope);
  for (int lane = 0; lane < kAuditLanes; ++lane) {
    double sum = 0.0, size = 0.0, used = 0.0;
    for (int64_t i = 0; i < kRows; ++i) {
      const double w = w_[i * kAuditLanes + lane];
      if (!(std::abs(w) > floor[lane])) continue;
      sum += theta(i, 0, lane) / w, size += std::abs(theta(i, 0, lane) / w), ++used;
    }
    EXPECT_EQ(rows[lane], used);
    EXPECT_NEAR(slope[lane], sum / used, 70 * kUnitRoundoff * size / used);
  }
}

TEST_P(BlockKernels, AgreeingCoefficients) {
  // Coefficients 1 + (place - 1 - 50) / 10,000 around 1, tried on numbers of 8 significant bits.
  CoefficientGrid grid;
  grid.places = 100, grid.places_per_unit = 1e4f;
  std::fill_n(grid.centre, kAuditLanes, 1.0f);
  w_[3] = 0.0f;
  for (int64_t i = 0; i < kRows; ++i) {
    for (int lane = 0; lane < kAuditLanes; ++lane) {
      float& stored = values_[i * kOrders * kAuditLanes + lane];
      std::byte bits[2];
      stored = w_[i * kAuditLanes + lane] * 1.002f;
      RowFromF32(DType::kBF16, {&stored, 1}, bits);
      RowToF32(DType::kBF16, bits, {&stored, 1});
    }
  }
  std::vector<int32_t> first(kRows * kAuditLanes), last(first.size());
  AgreeingCoefficients(block_, 7, w_.data(), grid, first.data(), last.data());
  for (size_t i = 0; i < first.size(); ++i) {
    if (i == 3) {
      EXPECT_EQ(first[i], -1);
      continue;
    }
    const double w = w_[i], stored = theta(i / kAuditLanes, 0, i % kAuditLanes);
    const double half = std::ldexp(1.0, std::ilogb(stored) - 8) / std::abs(w);
    const double middle = 51.0 + (stored / w - 1.0) * 1e4;
    EXPECT_NEAR(first[i], std::clamp(middle - 1e4 * half, 0.0, 101.0), 1.01) << i;
    EXPECT_NEAR(last[i], std::clamp(middle + 1e4 * half, 0.0, 101.0), 1.01) << i;
    EXPECT_LE(first[i], 71);  // the coefficient that they were made with is among them
    EXPECT_GE(last[i], 70);
  }
}

TEST_P(BlockKernels, WidenBlocksPutsUnitsSideBySide) {
  // Two blocks; the first order has 27 units, the second only 9.
  constexpr int64_t kUnits = 27, kCols = 40, kTall = 13;
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    std::vector<float> values(kTall * kCols);
    Random random(6);
    for (float& value : values) value = static_cast<float>(random.NextNormal());
    std::vector<std::byte> stored(values.size() * BlockBytes(dtype));
    RowFromF32(dtype, values, stored.data());
    RowToF32(dtype, stored.data(), values);
    const MatrixView theta{dtype, kTall, kCols, kCols * BlockBytes(dtype), stored.data()};
    ThetaColumns columns;
    columns.num_orders = 2, columns.num_blocks = 2;
    columns.first[0] = 3, columns.count[0] = kUnits;
    columns.first[1] = 31, columns.count[1] = 9;
    std::vector<float> out(2 * kTall * 2 * kAuditLanes, -1.0f);
    WidenBlocks(theta, columns, out.data());
    size_t at = 0;
    for (int64_t block = 0; block < 2; ++block) {
      for (int64_t row = 0; row < kTall; ++row) {
        for (int n = 0; n < 2; ++n) {
          for (int64_t lane = 0; lane < kAuditLanes; ++lane, ++at) {
            const int64_t unit = block * kAuditLanes + lane;
            const bool there = unit < columns.count[n];
            EXPECT_EQ(out[at], there ? values[row * kCols + columns.first[n] + unit] : 0.0f);
          }
        }
      }
    }
  }
}

UNSWIFT_INSTANTIATE_FOR_EVERY_TARGET(BlockKernels);

}  // namespace
}  // namespace unswift
