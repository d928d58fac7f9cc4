// ThetaMaker, the fast form, against RoundLanes, the generic one, on every instruction set.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "unswift/base/random.h"
#include "unswift/ops/cpu/targets.h"
#include "unswift/series/carry.h"
#include "unswift/tensor/convert.h"
#include "unswift/tensor/packed.h"

namespace unswift {
namespace {

using testing::HasSubstr;

// Units of falling order with random coefficients and mild random carry matrices.
struct Random37Units {
  SeriesFit fit;
  SeriesCarry carry;

  explicit Random37Units(double coefficient_scale = 1.0) {
    Random random(11);
    fit.offset.assign(1, 0);
    carry.offset.assign(1, 0);
    for (int i = 0; i < 37; ++i) {
      const int order = i == 0 ? 32 : i < 14 ? 12 : i < 30 ? 9 - i / 10 : 1;
      fit.units.push_back(i);
      fit.orders.push_back(order);
      fit.centre.push_back(0.0f);
      fit.inv_radius.push_back(0.2f);
      for (int n = 0; n <= order; ++n) {
        fit.coefficients.push_back(coefficient_scale * random.NextNormal() * std::exp(-0.4 * n));
      }
      for (int n = 0; n < order * (order + 1) / 2; ++n) {
        carry.packed.push_back(static_cast<float>(0.3 * random.NextNormal()));
      }
      fit.offset.push_back(static_cast<int64_t>(fit.coefficients.size()));
      carry.offset.push_back(static_cast<int64_t>(carry.packed.size()));
    }
    carry.orders = fit.orders;
  }
};

std::vector<float> RandomDown(int64_t count) {
  Random random(12);
  std::vector<float> down(count);
  for (float& d : down) d = static_cast<float>(0.1 * random.NextNormal());
  return down;
}

// All rows of Theta as float32.
std::vector<std::vector<float>> MakeAll(const ThetaMaker& maker, DType dtype, ConstRows down) {
  const int64_t row_bytes = maker.num_features() * BlockBytes(dtype) + 6;
  std::vector<std::byte> stored(row_bytes * down.rows, std::byte{0x55});
  const auto done = maker.MakeRows(down, stored.data(), row_bytes);
  EXPECT_TRUE(done) << done.error().message;
  std::vector<std::vector<float>> rows(down.rows, std::vector<float>(maker.num_features()));
  for (int64_t r = 0; r < down.rows; ++r) {
    const std::byte* row = stored.data() + r * row_bytes;
    RowToF32(dtype, row, rows[r]);
    for (int k = 1; k <= 6; ++k) EXPECT_EQ(row[row_bytes - k], std::byte{0x55}) << "past the row";
  }
  return rows;
}

class ThetaTargets : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { ForceKernelTarget(GetParam()); }
  void TearDown() override { ForceKernelTarget(0); }
};

// The fast form works in float32, so a value near a tie may fall the other way and change those
// after it. On all other entries both agree bit for bit; a lost or misplaced term would show
// everywhere.
TEST_P(ThetaTargets, AgreesWithTheGenericForm) {
  const Random37Units units;
  std::vector<int64_t> lanes;
  for (int i = 0; i < 37; ++i) lanes.push_back(i);
  for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF32}) {
    for (const bool carried : {false, true}) {
      for (const int first_order : {0, 1}) {
        const ThetaMaker maker(units.fit, carried ? &units.carry : nullptr, dtype, first_order);
        const int rows = 11;
        const std::vector<float> down = RandomDown(rows * 37);
        const auto actual = MakeAll(maker, dtype, ConstRows(down.data(), rows, 37));
        int64_t equal = 0, total = 0;
        for (int r = 0; r < rows; ++r) {
          const auto expected = RoundLanes(
              units.fit, carried && dtype != DType::kF32 ? &units.carry : nullptr,
              std::span(down).subspan(r * 37, 37), lanes, first_order, RoundToDType(dtype));
          size_t column = 0;
          for (int n = first_order; n <= 32; ++n) {
            for (int i = 0; i < maker.units_of_order()[n]; ++i, ++column, ++total) {
              const float want = expected[n][i], got = actual[r][column];
              equal += want == got;
              if (dtype == DType::kF32) {
                EXPECT_NEAR(got, want, 2e-7 * std::abs(want));
              }
              if (!carried && dtype != DType::kF32) {  // one unit in the last place at most
                EXPECT_NEAR(got, want, std::abs(want) / (dtype == DType::kF16 ? 1000 : 128) + 1e-7);
              }
            }
          }
          EXPECT_EQ(column, actual[r].size());
        }
        if (dtype != DType::kF32) {
          EXPECT_GT(equal, total * 97 / 100) << DTypeName(dtype) << carried << first_order;
        }
      }
    }
  }
}

// Plain rounding of exact products is exactly RowFromF32, subnormal halves included.
TEST_P(ThetaTargets, PlainRoundingIsNearestEven) {
  SeriesFit fit;
  const int64_t units = 4096;
  Random random(13);
  fit.offset.assign(1, 0);
  for (int64_t i = 0; i < units; ++i) {
    fit.units.push_back(i);
    fit.orders.push_back(0);
    fit.centre.push_back(0.0f);
    fit.inv_radius.push_back(1.0f);
    fit.coefficients.push_back(1.0);
    fit.offset.push_back(i + 1);
  }
  std::vector<float> down(units);
  for (int64_t i = 0; i < units; ++i) {
    const int exponent = static_cast<int>(random.NextBelow(40)) - 26;
    down[i] = static_cast<float>(std::ldexp(random.NextUniform() * 2 - 1, exponent));
    if (i % 3 == 0) down[i] = F16ToF32(F32ToF16(down[i])) + (i % 2 ? 0x1p-25f : 0.0f);
    if (i % 7 == 0) down[i] = std::ldexp(static_cast<float>(2 * random.NextBelow(2048) + 1), -12);
  }
  down[0] = 0.0f, down[1] = -0.0f, down[2] = 65519.9f, down[3] = 0x1p-24f, down[4] = 0x1p-25f;
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    const ThetaMaker maker(fit, nullptr, dtype, 0);
    const auto actual = MakeAll(maker, dtype, ConstRows(down.data(), 1, units));
    std::vector<float> expected = down;
    RoundToDType(dtype)(expected);
    EXPECT_EQ(actual[0], expected);
  }
}

TEST_P(ThetaTargets, RefusesOverflow) {
  Random37Units units;
  std::vector<float> down(37 * 9, 1.0f);
  units.fit.unit(20)[3] = 7e4;
  const ThetaMaker half(units.fit, nullptr, DType::kF16, 0);
  std::vector<std::byte> out(9 * half.num_features() * 4);
  const int64_t half_bytes = half.num_features() * 2;
  const auto refused = half.MakeRows(ConstRows(down.data(), 9, 37), out.data(), half_bytes);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidData);
  EXPECT_THAT(refused.error().message, HasSubstr("unit 20 row 0 order 3"));
  const ThetaMaker brain(units.fit, nullptr, DType::kBF16, 0);
  EXPECT_TRUE(brain.MakeRows(ConstRows(down.data(), 9, 37), out.data(), half_bytes));

  // D itself, in a row of the second batch, in every type.
  Random37Units good;
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    down[8 * 37 + 36] = bad;
    for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF32}) {
      const ThetaMaker maker(good.fit, &good.carry, dtype, 0);
      const auto result = maker.MakeRows(ConstRows(down.data(), 9, 37), out.data(),
                                         maker.num_features() * BlockBytes(dtype));
      ASSERT_FALSE(result) << DTypeName(dtype);
      EXPECT_THAT(result.error().message, HasSubstr("unit 36 row 8"));
    }
  }
}

TEST_P(ThetaTargets, ConstantTerm) {
  const Random37Units units;
  const ThetaMaker maker(units.fit, nullptr, DType::kF16, 1);
  const std::vector<float> down = RandomDown(37);
  double expected = 0.0;
  for (int i = 0; i < 37; ++i) expected += down[i] * units.fit.unit(i)[0];
  EXPECT_DOUBLE_EQ(maker.ConstantTerm(down), expected);
  EXPECT_EQ(maker.num_features(),
            static_cast<int64_t>(units.fit.coefficients.size()) - maker.num_units());
}

// 64 units of random coefficients, equal orders in blocks of 32, as quantised types need them.
struct Random64Units {
  SeriesFit fit;
  SeriesCarry carry;

  Random64Units() {
    Random random(15);
    fit.offset.assign(1, 0);
    carry.offset.assign(1, 0);
    for (int i = 0; i < 64; ++i) {
      const int order = i < 32 ? 11 : 4;
      fit.units.push_back(i);
      fit.orders.push_back(order);
      fit.centre.push_back(0.0f);
      fit.inv_radius.push_back(0.2f);
      for (int n = 0; n <= order; ++n) {
        fit.coefficients.push_back(random.NextNormal() * std::exp(-0.4 * n));
      }
      for (int n = 0; n < order * (order + 1) / 2; ++n) {
        carry.packed.push_back(static_cast<float>(0.3 * random.NextNormal()));
      }
      fit.offset.push_back(static_cast<int64_t>(fit.coefficients.size()));
      carry.offset.push_back(static_cast<int64_t>(carry.packed.size()));
    }
    carry.orders = fit.orders;
  }
};

// As above, a block of 32 units of one row at a time. A value at a tie moves by a whole step, and
// what it hands on may move a few more; a wrong scale or term would move all.
TEST_P(ThetaTargets, QuantisedAgreesWithTheGenericForm) {
  const Random64Units units;
  const int rows = 37;
  const std::vector<float> down = RandomDown(rows * 64);
  for (const DType dtype : {DType::kQ8_0, DType::kQ4_0}) {
    for (const bool carried : {false, true}) {
      for (const int first_order : {0, 1}) {
        const SeriesCarry* carry = carried ? &units.carry : nullptr;
        const ThetaMaker maker(units.fit, carry, dtype, first_order);
        const MatrixView shape = PackedView(dtype, rows, maker.num_features(), nullptr);
        std::vector<std::byte> stored(shape.num_bytes());
        const auto done =
            maker.MakeRows(ConstRows(down.data(), rows, 64), stored.data(), shape.row_bytes);
        ASSERT_TRUE(done) << done.error().message;
        const MatrixView theta = PackedView(dtype, rows, maker.num_features(), stored.data());
        std::vector<float> actual(maker.num_features());
        int64_t equal = 0, total = 0;
        for (int r = 0; r < rows; ++r) {
          MatrixRowToF32(theta, r, actual);
          for (int block = 0; block < 64; block += 32) {
            std::vector<int64_t> lanes;
            for (int i = 0; i < 32; ++i) lanes.push_back(block + i);
            const auto expected =
                RoundLanes(units.fit, carry, std::span(down).subspan(r * 64 + block, 32), lanes,
                           first_order, RoundToDType(dtype));
            int64_t column = block;
            for (size_t n = first_order; n < expected.size(); ++n) {
              for (int i = 0; i < 32; ++i, ++total) equal += expected[n][i] == actual[column + i];
              column += maker.units_of_order()[n];
            }
          }
        }
        EXPECT_EQ(total, rows * maker.num_features());
        EXPECT_GT(equal, total * 97 / 100) << DTypeName(dtype) << carried << first_order;
      }
    }
  }
}

TEST_P(ThetaTargets, QuantisedRefusesWhatItCannotHold) {
  Random64Units units;
  std::vector<float> down(16 * 64, 1.0f);
  units.fit.unit(40)[2] = 1e8;
  for (const DType dtype : {DType::kQ8_0, DType::kQ4_0}) {
    const ThetaMaker maker(units.fit, &units.carry, dtype, 0);
    const MatrixView shape = PackedView(dtype, 16, maker.num_features(), nullptr);
    std::vector<std::byte> out(shape.num_bytes());
    const auto refused =
        maker.MakeRows(ConstRows(down.data(), 16, 64), out.data(), shape.row_bytes);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidData);
    EXPECT_THAT(refused.error().message, HasSubstr("units 32 to 63 order 2"));
  }
  const Random64Units good;
  down[9 * 64 + 50] = std::nanf("");
  const ThetaMaker maker(good.fit, &good.carry, DType::kQ8_0, 0);
  const MatrixView shape = PackedView(DType::kQ8_0, 16, maker.num_features(), nullptr);
  std::vector<std::byte> out(shape.num_bytes());
  EXPECT_FALSE(maker.MakeRows(ConstRows(down.data(), 16, 64), out.data(), shape.row_bytes));
}

INSTANTIATE_TEST_SUITE_P(PerIsa, ThetaTargets, testing::ValuesIn(KernelTargets()),
                         [](const auto& info) { return KernelTargetName(info.param); });

}  // namespace
}  // namespace unswift
