// Plain loops over lanes, compiled once per Highway target.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
#include "unswift/audit/block_kernels.h"
#include "unswift/audit/lowest_order.h"
#include "unswift/ops/cpu/convert-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unswift {
namespace HWY_NAMESPACE {

constexpr int64_t kRowsPerSum = 64;  // of the sums in float32

HWY_ATTR void WidenBlocks(const MatrixView& theta, const ThetaColumns& columns, float* out) {
  // Rows are far apart: without asking ahead each would wait for memory.
  constexpr int64_t kAhead = 8, kLine = 64;
  const int64_t element = BlockBytes(theta.dtype), orders = columns.num_orders;
  const int64_t block_size = theta.rows * orders * kAuditLanes;
  alignas(64) float wide[ThetaReader::kUnits];
  for (int64_t row = 0; row < theta.rows; ++row) {
    for (int64_t n = 0; n < orders; ++n) {
      const std::byte* from = theta.row(row) + columns.first[n] * element;
      const int64_t bytes = columns.count[n] * element;
      for (int64_t at = 0; row + kAhead < theta.rows && at < bytes; at += kLine) {
        hwy::Prefetch(from + kAhead * theta.row_bytes + at);
      }
      const int64_t count = columns.count[n];
      RowToF32Kernel(theta.dtype, from, wide, count);
      std::fill(wide + count, wide + columns.num_blocks * kAuditLanes, 0.0f);
      float* HWY_RESTRICT to = out + (row * orders + n) * kAuditLanes;
      for (int b = 0; b < columns.num_blocks; ++b, to += block_size) {
        std::memcpy(to, wide + b * kAuditLanes, kAuditLanes * sizeof(float));
      }
    }
  }
}

constexpr int64_t kRowsPerTile = 16;  // of the sums of products: 18 KB of nine orders
constexpr int kTile = 3;              // orders by orders that are summed in registers
static_assert(kAuditOrders % kTile == 0);

/// sum[n][m] += sum_i x[i][n] x[i][m] for m <= n < orders, m and n in one tile, and eight lanes or
/// fewer. Shapes: x [rows][stride], whose orders beyond the last are 0 up to a whole tile.
template <class D>
HWY_INLINE HWY_ATTR void AddTile(D d, const double* HWY_RESTRICT x, int64_t rows, int64_t stride,
                                 int n0, int m0, int orders, size_t lane,
                                 LaneDoubles (*sum)[kAuditOrders]) {
  namespace hn = hwy::HWY_NAMESPACE;
  const double* HWY_RESTRICT a = x + n0 * kAuditLanes + lane;
  const double* HWY_RESTRICT b = x + m0 * kAuditLanes + lane;
  auto s00 = hn::Zero(d), s01 = s00, s02 = s00, s10 = s00, s11 = s00, s12 = s00, s20 = s00,
       s21 = s00, s22 = s00;
  for (int64_t i = 0; i < rows; ++i, a += stride, b += stride) {
    const auto b0 = hn::Load(d, b), b1 = hn::Load(d, b + kAuditLanes),
               b2 = hn::Load(d, b + 2 * kAuditLanes);
    const auto a0 = hn::Load(d, a);
    s00 = hn::MulAdd(a0, b0, s00), s01 = hn::MulAdd(a0, b1, s01), s02 = hn::MulAdd(a0, b2, s02);
    const auto a1 = hn::Load(d, a + kAuditLanes);
    s10 = hn::MulAdd(a1, b0, s10), s11 = hn::MulAdd(a1, b1, s11), s12 = hn::MulAdd(a1, b2, s12);
    const auto a2 = hn::Load(d, a + 2 * kAuditLanes);
    s20 = hn::MulAdd(a2, b0, s20), s21 = hn::MulAdd(a2, b1, s21), s22 = hn::MulAdd(a2, b2, s22);
  }
  const auto add = [&](int n, int m, auto value) HWY_ATTR {
    if (m0 + m > n0 + n || n0 + n >= orders) return;
    double* HWY_RESTRICT to = sum[n0 + n][m0 + m] + lane;
    hn::StoreU(hn::Add(hn::LoadU(d, to), value), d, to);
  };
  add(0, 0, s00), add(0, 1, s01), add(0, 2, s02);
  add(1, 0, s10), add(1, 1, s11), add(1, 2, s12);
  add(2, 0, s20), add(2, 1, s21), add(2, 2, s22);
}

/// Sums products of the orders of rows that come one by one. In double: coefficients of a wide
/// Taylor series cancel by many digits in what is made of the sums.
class ProductSums {
 public:
  HWY_ATTR ProductSums(int orders, LaneDoubles (*sum)[kAuditOrders])
      : orders_(orders), stride_((orders + kTile - 1) / kTile * kTile * kAuditLanes), sum_(sum) {
    for (int n = 0; n < orders; ++n) std::memset(sum[n], 0, (n + 1) * sizeof(LaneDoubles));
    std::memset(rows_, 0, kRowsPerTile * stride_ * sizeof(double));
  }
  /// x: [orders][16].
  HWY_ATTR void Add(const float* HWY_RESTRICT x) {
    double* HWY_RESTRICT to = rows_ + filled_ * stride_;
    for (int i = 0; i < orders_ * kAuditLanes; ++i) to[i] = x[i];
    if (++filled_ == kRowsPerTile) Flush();
  }
  HWY_ATTR void Flush() {
    const hwy::HWY_NAMESPACE::CappedTag<double, 8> d;
    for (size_t lane = 0; lane < kAuditLanes; lane += hwy::HWY_NAMESPACE::Lanes(d)) {
      for (int n = 0; n < orders_; n += kTile) {
        for (int m = 0; m <= n; m += kTile) {
          AddTile(d, rows_, filled_, stride_, n, m, orders_, lane, sum_);
        }
      }
    }
    filled_ = 0;
  }

 private:
  const int orders_;
  const int64_t stride_;
  LaneDoubles (*const sum_)[kAuditOrders];
  int64_t filled_ = 0;
  alignas(64) double rows_[kRowsPerTile * kAuditOrders * kAuditLanes];
};

HWY_ATTR void GramOfOrders(const ThetaBlock& block, LaneDoubles (*gram)[kAuditOrders]) {
  ProductSums sums(block.num_orders, gram);
  for (int64_t row = 0; row < block.rows; ++row) sums.Add(block.at(row));
  sums.Flush();
}

HWY_ATTR void ProjectRows(const ThetaBlock& block, const LaneDoubles* q, float* w) {
  for (int64_t row = 0; row < block.rows; ++row) {
    double sum[kAuditLanes] = {};
    const float* HWY_RESTRICT x = block.at(row);
    for (int n = 0; n < block.num_orders; ++n) {
      const double* HWY_RESTRICT weight = q[n];
      for (int l = 0; l < kAuditLanes; ++l) sum[l] += x[n * kAuditLanes + l] * weight[l];
    }
    float* HWY_RESTRICT to = w + row * kAuditLanes;
    for (int l = 0; l < kAuditLanes; ++l) to[l] = static_cast<float>(sum[l]);
  }
}

/// 1 / w, or 0 for a row that takes no part.
HWY_INLINE HWY_ATTR void Inverses(const float* HWY_RESTRICT w, const float* HWY_RESTRICT floor,
                                  float* HWY_RESTRICT inverse) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::CappedTag<float, kAuditLanes> d;
  for (size_t l = 0; l < kAuditLanes; l += hn::Lanes(d)) {
    const auto of_w = hn::LoadU(d, w + l);
    const auto used = hn::Gt(hn::Abs(of_w), hn::LoadU(d, floor + l));
    hn::StoreU(hn::IfThenElseZero(used, hn::Div(hn::Set(d, 1.0f), of_w)), d, inverse + l);
  }
}

HWY_ATTR void RelativeSlopes(const ThetaBlock& block, int orders, const float* w,
                             const LaneFloats& floor, LaneDoubles& rows, LaneDoubles* slope) {
  std::memset(slope, 0, orders * sizeof(LaneDoubles));
  for (int l = 0; l < kAuditLanes; ++l) rows[l] = 0.0;
  alignas(64) float sum[kAuditOrders][kAuditLanes] = {};
  for (int64_t row = 0; row < block.rows; ++row) {
    alignas(64) float inverse[kAuditLanes];
    Inverses(w + row * kAuditLanes, floor, inverse);
    const float* HWY_RESTRICT x = block.at(row);
    for (int n = 0; n < orders; ++n) {
      float* HWY_RESTRICT to = sum[n];
      for (int l = 0; l < kAuditLanes; ++l) to[l] += x[n * kAuditLanes + l] * inverse[l];
    }
    for (int l = 0; l < kAuditLanes; ++l) rows[l] += inverse[l] != 0.0f ? 1.0 : 0.0;
    if ((row + 1) % kRowsPerSum != 0 && row + 1 != block.rows) continue;
    for (int n = 0; n < orders; ++n) {
      for (int l = 0; l < kAuditLanes; ++l) slope[n][l] += sum[n][l];
    }
    std::memset(sum, 0, sizeof(sum));
  }
  for (int n = 0; n < orders; ++n) {
    for (int l = 0; l < kAuditLanes; ++l) slope[n][l] /= rows[l] > 0.0 ? rows[l] : 1.0;
  }
}

HWY_ATTR void RelativeResiduals(const ThetaBlock& block, const float* w, const LaneFloats& floor,
                                LaneDoubles* slope, LaneDoubles (*gram)[kAuditOrders]) {
  LaneDoubles rows;
  HWY_NAMESPACE::RelativeSlopes(block, block.num_orders, w, floor, rows, slope);
  ProductSums sums(block.num_orders, gram);
  alignas(64) float centre[kAuditOrders][kAuditLanes];
  for (int n = 0; n < block.num_orders; ++n) {
    for (int l = 0; l < kAuditLanes; ++l) centre[n][l] = static_cast<float>(slope[n][l]);
  }
  for (int64_t row = 0; row < block.rows; ++row) {
    alignas(64) float inverse[kAuditLanes];
    Inverses(w + row * kAuditLanes, floor, inverse);
    const float* HWY_RESTRICT x = block.at(row);
    alignas(64) float residual[kAuditOrders * kAuditLanes];
    for (int n = 0; n < block.num_orders; ++n) {
      for (int l = 0; l < kAuditLanes; ++l) {
        const float ratio = x[n * kAuditLanes + l] * inverse[l];
        residual[n * kAuditLanes + l] = inverse[l] != 0.0f ? ratio - centre[n][l] : 0.0f;
      }
    }
    sums.Add(residual);
  }
  sums.Flush();
  for (int n = 0; n < block.num_orders; ++n) {
    for (int m = 0; m <= n; ++m) {
      for (int l = 0; l < kAuditLanes; ++l) gram[n][m][l] /= rows[l] > 0.0 ? rows[l] : 1.0;
    }
  }
}

/// 1 / half a step of each stored number of a row.
HWY_INLINE HWY_ATTR void InverseHalfSteps(const float* HWY_RESTRICT theta, int count, int bits,
                                          float* HWY_RESTRICT inverse) {
  // Below these the steps of a type stay what they are; an exponent of float32, with its bias.
  const float regular = LeastRegular(bits);
  uint32_t least;
  std::memcpy(&least, &regular, sizeof(least));
  least >>= 23;
  const uint32_t twice = 2 * 127 + static_cast<uint32_t>(bits) + 1;
  for (int i = 0; i < count; ++i) {
    uint32_t exponent;
    std::memcpy(&exponent, theta + i, sizeof(exponent));
    exponent = std::max((exponent >> 23) & 0xff, least);
    const uint32_t stored = std::min<uint32_t>(twice - exponent, 254) << 23;
    std::memcpy(inverse + i, &stored, sizeof(stored));
  }
}

HWY_ATTR void RelativeRounding(const ThetaBlock& block, int theta_bits, const float* w,
                               const LaneFloats& floor, LaneDoubles* square) {
  std::memset(square, 0, block.num_orders * sizeof(LaneDoubles));
  LaneDoubles rows = {};
  alignas(64) float inverse_half[kAuditOrders * kAuditLanes];
  for (int64_t row = 0; row < block.rows; ++row) {
    alignas(64) float inverse[kAuditLanes];
    Inverses(w + row * kAuditLanes, floor, inverse);
    InverseHalfSteps(block.at(row), block.num_orders * kAuditLanes, theta_bits, inverse_half);
    for (int n = 0; n < block.num_orders; ++n) {
      for (int l = 0; l < kAuditLanes; ++l) {
        const float half = inverse[l] / inverse_half[n * kAuditLanes + l];
        square[n][l] += static_cast<double>(half) * half;
      }
    }
    for (int l = 0; l < kAuditLanes; ++l) rows[l] += inverse[l] != 0.0f ? 1.0 : 0.0;
  }
  for (int n = 0; n < block.num_orders; ++n) {
    for (int l = 0; l < kAuditLanes; ++l) square[n][l] /= 3.0 * std::max(rows[l], 1.0);
  }
}

HWY_ATTR void FindDoubtfulRows(const ThetaBlock& block, int theta_bits, const LaneDoubles& c,
                               const float* w, uint8_t* doubtful) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::CappedTag<float, kAuditLanes> d;
  constexpr float kSure = 0.999f;  // of half a step: products in float32 are a little off
  alignas(64) float factor[kAuditLanes], inverse_half[kAuditLanes];
  for (int l = 0; l < kAuditLanes; ++l) factor[l] = static_cast<float>(c[l]);
  for (int64_t row = 0; row < block.rows; ++row) {
    const float* HWY_RESTRICT theta = block.at(row);
    InverseHalfSteps(theta, kAuditLanes, theta_bits, inverse_half);
    bool sure = true;
    for (size_t l = 0; l < kAuditLanes; l += hn::Lanes(d)) {
      const auto off =
          hn::NegMulAdd(hn::Load(d, factor + l), hn::LoadU(d, w + row * kAuditLanes + l),
                        hn::LoadU(d, theta + l));
      const auto steps = hn::Mul(hn::Abs(off), hn::Load(d, inverse_half + l));
      sure &= hn::AllTrue(d, hn::Lt(steps, hn::Set(d, kSure)));
    }
    doubtful[row] = sure ? 0 : 1;
  }
}

HWY_ATTR void AgreeingCoefficients(const ThetaBlock& block, int theta_bits, const float* w,
                                   const CoefficientGrid& grid, int32_t* first, int32_t* last) {
  const float least = LeastRegular(theta_bits), middle = 0.5f * static_cast<float>(grid.places);
  const auto end = static_cast<float>(grid.places + 1);
  alignas(64) float inverse_half[kAuditLanes], off[kAuditLanes], half[kAuditLanes];
  for (int64_t row = 0; row < block.rows; ++row) {
    const float* HWY_RESTRICT theta = block.at(row);
    const float* HWY_RESTRICT of_w = w + row * kAuditLanes;
    InverseHalfSteps(theta, kAuditLanes, theta_bits, inverse_half);
    for (int l = 0; l < kAuditLanes; ++l) {
      const float product = grid.centre[l] * of_w[l];
      const float places = grid.places_per_unit / product;
      off[l] = (theta[l] - product) * places + middle;
      half[l] = std::abs(places) / inverse_half[l];
    }
    int32_t* HWY_RESTRICT to_first = first + row * kAuditLanes;
    int32_t* HWY_RESTRICT to_last = last + row * kAuditLanes;
    for (int l = 0; l < kAuditLanes; ++l) {
      // A NaN (of a weight that is zero) becomes 0.
      const float begin = std::min(std::max(0.0f, off[l] - half[l] + 1.0f), end);
      const float stop = std::min(std::max(0.0f, off[l] + half[l] + 1.0f), end);
      const bool used = std::abs(theta[l]) >= least && of_w[l] != 0.0f;
      to_first[l] = used ? static_cast<int32_t>(begin) : -1;
      to_last[l] = static_cast<int32_t>(stop);
    }
  }
}

/// The orders' own errors for the weights w of a row, and 1 / what rounding allows them to be.
/// Shapes: own, allowed [num_orders][16].
HWY_INLINE HWY_ATTR void OwnErrorsOfRow(const ThetaBlock& block, const float* HWY_RESTRICT theta,
                                        const OrderPrediction& prediction,
                                        const float* HWY_RESTRICT w, float* HWY_RESTRICT own,
                                        float* HWY_RESTRICT allowed) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::CappedTag<float, kAuditLanes> d;
  alignas(64) float rest[kAuditOrders * kAuditLanes];
  for (size_t l = 0; l < kAuditLanes; l += hn::Lanes(d)) {
    const auto of_w = hn::Load(d, w + l);
    const auto size = hn::Max(hn::Abs(of_w), hn::Set(d, 1e-30f));
    const auto inverse_w = hn::Div(hn::Set(d, 1.0f), size);
    for (int n = 0; n < block.num_orders; ++n) {
      const size_t at = n * kAuditLanes + l;
      const auto of_theta = hn::LoadU(d, theta + at);
      hn::Store(hn::NegMulAdd(hn::Load(d, prediction.slope[n] + l), of_w, of_theta), d, rest + at);
      const auto noise = hn::Mul(hn::Load(d, prediction.inverse_noise[n] + l), inverse_w);
      hn::Store(hn::Min(hn::Load(d, allowed + at), noise), d, allowed + at);
    }
    for (int n = 0; n < block.num_orders; ++n) {
      const float* HWY_RESTRICT weight = prediction.weight[n][0] + l;
      auto even = hn::Load(d, rest + n * kAuditLanes + l), odd = hn::Zero(d);
      int k = 0;
      for (; k + 1 < n; k += 2) {
        const float* HWY_RESTRICT of_rest = rest + k * kAuditLanes + l;
        const float* HWY_RESTRICT of_weight = weight + k * kAuditLanes;
        even = hn::MulAdd(hn::Load(d, of_weight), hn::Load(d, of_rest), even);
        odd = hn::MulAdd(hn::Load(d, of_weight + kAuditLanes), hn::Load(d, of_rest + kAuditLanes),
                         odd);
      }
      if (k < n) {
        odd = hn::MulAdd(hn::Load(d, weight + k * kAuditLanes),
                         hn::Load(d, rest + k * kAuditLanes + l), odd);
      }
      hn::Store(hn::Add(even, odd), d, own + n * kAuditLanes + l);
    }
  }
}

/// Squared excess of own errors when the weights change by `change`.
HWY_INLINE HWY_ATTR void ExcessOfRow(int num_orders, const OrderPrediction& prediction,
                                     const float* HWY_RESTRICT own,
                                     const float* HWY_RESTRICT allowed,
                                     const float* HWY_RESTRICT change, float* HWY_RESTRICT excess) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::CappedTag<float, kAuditLanes> d;
  // A wrong weight shows in every order: one may be off for another reason.
  const auto most = hn::Set(d, 100.0f), one = hn::Set(d, 1.0f);
  for (size_t l = 0; l < kAuditLanes; l += hn::Lanes(d)) {
    const auto of_change = hn::Load(d, change + l);
    auto sum = hn::Zero(d);
    for (int n = 0; n < num_orders; ++n) {
      const size_t at = n * kAuditLanes + l;
      const auto error =
          hn::NegMulAdd(hn::Load(d, prediction.response[n] + l), of_change, hn::Load(d, own + at));
      const auto over = hn::MulSub(hn::Abs(error), hn::Load(d, allowed + at), one);
      const auto positive = hn::Max(over, hn::Zero(d));
      sum = hn::Add(sum, hn::Min(hn::Mul(positive, positive), most));
    }
    hn::StoreU(sum, d, excess + l);
  }
}

/// The weights one step up or down the grid; next to zero there is no neighbour to speak of.
HWY_INLINE HWY_ATTR void Neighbours(const float* HWY_RESTRICT w, int32_t move,
                                    float* HWY_RESTRICT neighbour) {
  int32_t stored[kAuditLanes];
  std::memcpy(stored, w, sizeof(stored));
  for (int l = 0; l < kAuditLanes; ++l) stored[l] += std::abs(w[l]) > 1e-30f ? move : 0;
  std::memcpy(neighbour, stored, sizeof(stored));
}

HWY_ATTR void ChooseConsistent(const ThetaBlock& block, const OrderPrediction& prediction,
                               const MantissaWidths& bits, const float* estimate, float* w,
                               float* excess) {
  constexpr float kTie = 0.03f;   // of the squared distance to the estimate, in steps
  constexpr float kFine = 0.02f;  // an excess that needs no other choice
  const int32_t step = int32_t{1} << (23 - bits.weight);
  const auto steps_per_unit = static_cast<float>(1 << bits.weight);
  alignas(64) float allowed[kAuditOrders * kAuditLanes], own[kAuditOrders * kAuditLanes];
  for (int64_t row = 0; row < block.rows; ++row) {
    const float* HWY_RESTRICT theta = block.at(row);
    float* HWY_RESTRICT of_w = w + row * kAuditLanes;
    float* HWY_RESTRICT of_excess = excess + row * kAuditLanes;
    const float* HWY_RESTRICT of_estimate = estimate + row * kAuditLanes;
    alignas(64) float first[kAuditLanes], least[kAuditLanes], change[kAuditLanes] = {};
    std::copy_n(of_w, kAuditLanes, first);
    InverseHalfSteps(theta, block.num_orders * kAuditLanes, bits.theta, allowed);
    OwnErrorsOfRow(block, theta, prediction, first, own, allowed);
    ExcessOfRow(block.num_orders, prediction, own, allowed, change, of_excess);
    // Mostly all is well as it is.
    if (*std::max_element(of_excess, of_excess + kAuditLanes) < kFine) continue;
    const auto tie = [&](float candidate, int l) {
      const float off =
          first[l] == 0.0f ? 0.0f : (of_estimate[l] - candidate) / first[l] * steps_per_unit;
      return kTie * std::min(off * off, 4.0f);
    };
    for (int l = 0; l < kAuditLanes; ++l) least[l] = of_excess[l] + tie(first[l], l);
    for (const int32_t move : {step, -step}) {
      alignas(64) float candidate[kAuditLanes], cost[kAuditLanes];
      Neighbours(first, move, candidate);
      for (int l = 0; l < kAuditLanes; ++l) change[l] = candidate[l] - first[l];
      ExcessOfRow(block.num_orders, prediction, own, allowed, change, cost);
      for (int l = 0; l < kAuditLanes; ++l) {
        const float total = cost[l] + tie(candidate[l], l);
        const bool better = total < least[l];
        least[l] = better ? total : least[l];
        of_excess[l] = better ? cost[l] : of_excess[l];
        of_w[l] = better ? candidate[l] : of_w[l];
      }
    }
  }
}

/// Adds the squared distances of w * inverse to the grid, in steps of the grid.
HWY_INLINE HWY_ATTR void AddGridDistances(const float* HWY_RESTRICT w,
                                          const float* HWY_RESTRICT inverse, uint32_t exponent,
                                          float* HWY_RESTRICT sum) {
  // Adding and taking away 1.5 * 2^23 rounds to an integer.
  constexpr float kRound = 12582912.0f;
  uint32_t bits[kAuditLanes];
  float value[kAuditLanes];
  for (int l = 0; l < kAuditLanes; ++l) value[l] = w[l] * inverse[l];
  std::memcpy(bits, value, sizeof(bits));
  // The mantissa in [2^bits, 2^(bits + 1)), where the grid is the integers.
  for (int l = 0; l < kAuditLanes; ++l) bits[l] = (bits[l] & 0x7fffffu) | exponent;
  std::memcpy(value, bits, sizeof(bits));
  for (int l = 0; l < kAuditLanes; ++l) {
    const float distance = value[l] - ((value[l] + kRound) - kRound);
    sum[l] += w[l] != 0.0f ? distance * distance : 0.0f;
  }
}

HWY_ATTR void ScanForGrid(const float* w, const GridScan& scan, LaneFloats& best_scale,
                          LaneFloats& best_score) {
  const uint32_t exponent = static_cast<uint32_t>(127 + scan.mantissa_bits) << 23;
  alignas(64) float scale[kAuditLanes], inverse[kAuditLanes], least[kAuditLanes];
  float log_from[kAuditLanes], log_ratio[kAuditLanes];
  for (int l = 0; l < kAuditLanes; ++l) {
    scale[l] = best_scale[l] = scan.from[l];
    least[l] = best_score[l] = 1e30f;
    log_from[l] = std::log(scan.from[l]);
    log_ratio[l] = std::log(scan.ratio[l]);
  }
  for (int step = 0; step < scan.steps; ++step) {
    for (int l = 0; l < kAuditLanes; ++l) inverse[l] = 1.0f / scale[l];
    alignas(64) float sum[kAuditLanes] = {};
    for (int64_t r = 0; r < scan.rows; ++r) {
      AddGridDistances(w + r * scan.row_stride * kAuditLanes, inverse, exponent, sum);
    }
    for (int l = 0; l < kAuditLanes; ++l) {
      const float score = sum[l] / static_cast<float>(scan.rows);
      const float log_scale = log_from[l] + static_cast<float>(step) * log_ratio[l];
      const float total = score + scan.penalty[l] * log_scale * log_scale;
      if (total < least[l]) {
        least[l] = total;
        best_score[l] = score;
        best_scale[l] = scale[l];
      }
      scale[l] *= scan.ratio[l];
    }
  }
}

HWY_ATTR void SumOfRows(const float* rows, int64_t stride, std::span<const float> weight,
                        std::span<float> sum) {
  constexpr int64_t kChunk = 128;
  const int64_t size = static_cast<int64_t>(sum.size());
  for (int64_t begin = 0; begin < size; begin += kChunk) {
    const int64_t count = std::min(kChunk, size - begin);
    alignas(64) float part[kChunk] = {};
    for (size_t b = 0; b < weight.size(); ++b) {
      if (weight[b] == 0.0f) continue;
      const float* HWY_RESTRICT row = rows + b * stride + begin;
      for (int64_t i = 0; i < count; ++i) part[i] += weight[b] * row[i];
    }
    std::copy_n(part, count, sum.data() + begin);
  }
}

HWY_ATTR double WeightedLogs(std::span<const float> weight, std::span<const float> value) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::CappedTag<float, kAuditLanes> d;
  constexpr size_t kSome = 64;  // summed in float32
  double total = 0.0;
  for (size_t begin = 0; begin < weight.size(); begin += kSome) {
    const size_t end = std::min(begin + kSome, weight.size());
    auto sum = hn::Zero(d);
    size_t i = begin;
    for (; i + hn::Lanes(d) <= end; i += hn::Lanes(d)) {
      const auto log = hn::Log(d, hn::LoadU(d, value.data() + i));
      sum = hn::MulAdd(hn::LoadU(d, weight.data() + i), log, sum);
    }
    total += hn::GetLane(hn::SumOfLanes(d, sum));
    for (; i < end; ++i) total += static_cast<double>(weight[i]) * std::log(value[i]);
  }
  return total;
}

}  // namespace HWY_NAMESPACE
}  // namespace unswift
HWY_AFTER_NAMESPACE();
