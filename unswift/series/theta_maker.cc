#include <algorithm>
#include <cmath>
#include <cstring>

#include "unswift/base/check.h"
#include "unswift/ops/convert.h"
#include "unswift/ops/pack.h"
#include "unswift/series/carry.h"
#include "unswift/series/theta_kernel.h"
#include "unswift/tensor/convert.h"
#include "unswift/tensor/packed.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unswift/series/theta_maker.cc"
#include "hwy/foreach_target.h"
#include "unswift/series/theta_kernel-inl.h"

#if HWY_ONCE
namespace unswift {
HWY_EXPORT(RoundTheta);
HWY_EXPORT(ThetaValues);

namespace {

// Blocks whose tables stay in cache while the rows pass by; 8 blocks write 128 units side by side,
// so the stores of a row fill whole cache lines.
constexpr int64_t kBlocksPerChunk = 8;

// Elements of a block's tables: coefficients, then the carry triangle.
int64_t TableSize(int order, int first_order, bool use_carry) {
  const int64_t carried = std::max(order - first_order, 0);
  return (order + 1 + (use_carry ? carried * (carried + 1) / 2 : 0)) * kThetaLanes;
}

}  // namespace

ThetaMaker::ThetaMaker(const SeriesFit& fit, const SeriesCarry* carry, DType dtype, int first_order)
    : num_units_(fit.num_units()), dtype_(dtype), first_order_(first_order) {
  UNSWIFT_CHECK((IsFloat(dtype) || IsQuantized(dtype)) && (first_order == 0 || first_order == 1));
  UNSWIFT_CHECK(std::is_sorted(fit.orders.rbegin(), fit.orders.rend()));
  UNSWIFT_CHECK(carry == nullptr || carry->orders == fit.orders);
  use_carry_ = carry != nullptr && dtype != DType::kF32;
  LayOutColumns(fit);
  UNSWIFT_CHECK(!IsQuantized(dtype) || std::ranges::all_of(units_of_order_, [](int64_t units) {
    return units % kThetaBlockUnits == 0;
  }));
  const int64_t blocks = (num_units_ + kThetaLanes - 1) / kThetaLanes;
  block_offset_.assign(1, 0);
  for (int64_t b = 0; b < blocks; ++b) {
    const int order = fit.orders[b * kThetaLanes];
    block_offset_.push_back(block_offset_.back() + TableSize(order, first_order_, use_carry_));
    block_order_.push_back(order);
  }
  tables_ = hwy::AllocateAligned<float>(block_offset_.back());
  std::fill_n(tables_.get(), block_offset_.back(), 0.0f);
  for (int64_t b = 0; b < blocks; ++b) FillTables(fit, use_carry_ ? carry : nullptr, b);
}

void ThetaMaker::LayOutColumns(const SeriesFit& fit) {
  const int max_order = num_units_ > 0 ? fit.orders.front() : -1;
  units_of_order_.assign(max_order + 1, 0);
  for (int64_t i = 0; i < num_units_; ++i) {
    constant_.push_back(fit.unit(i)[0]);
    for (int n = 0; n <= fit.orders[i]; ++n) ++units_of_order_[n];
  }
  for (int n = 0; n <= max_order; ++n) {
    column_.push_back(num_features_);
    if (n >= first_order_) num_features_ += units_of_order_[n];
  }
}

void ThetaMaker::FillTables(const SeriesFit& fit, const SeriesCarry* carry, int64_t block) {
  const int max_order = block_order_[block];
  float* const coefficients = tables_.get() + block_offset_[block];
  float* const triangle = coefficients + (max_order + 1) * kThetaLanes;
  const int64_t begin = block * kThetaLanes, end = std::min(begin + kThetaLanes, num_units_);
  for (int64_t i = begin; i < end; ++i) {
    float* const lane = coefficients + (i - begin);
    for (int n = 0; n <= fit.orders[i]; ++n) {
      lane[n * kThetaLanes] = static_cast<float>(fit.unit(i)[n]);
    }
    if (carry == nullptr) continue;
    float* to = triangle + (i - begin);
    for (int n = first_order_ + 1; n <= fit.orders[i]; ++n) {
      for (int m = first_order_; m < n; ++m, to += kThetaLanes) *to = carry->at(i, m, n);
    }
  }
}

Result<> ThetaMaker::MakePackedGroup(ConstRows down, std::byte* group) const {
  constexpr int kOrderFloats = kThetaGroupRows * kThetaBlockUnits;
  // What each order of one block of units lost, then the values of the order at work.
  std::vector<float> lost((kMostOrders + 1) * kOrderFloats);
  std::vector<float> padded(kThetaGroupRows * num_units_, 0.0f);
  for (int64_t r = 0; r < down.rows; ++r) {
    std::ranges::copy(down.row(r), padded.begin() + r * num_units_);
  }
  for (int64_t unit = 0; unit < num_units_; unit += kThetaBlockUnits) {
    const int64_t first_block = unit / kThetaLanes;
    for (int n = first_order_; n <= block_order_[first_block]; ++n) {
      float* const values = lost.data() + (n - first_order_) * kOrderFloats;
      for (int half = 0; half < kThetaBlockUnits / kThetaLanes; ++half) {
        ThetaValuesTask task;
        const float* const table = tables_.get() + block_offset_[first_block + half];
        const int64_t lower = n - first_order_;
        task.coefficients = table + n * kThetaLanes;
        task.carry =
            table + (block_order_[first_block] + 1 + lower * (lower - 1) / 2) * kThetaLanes;
        task.lower_orders = use_carry_ ? static_cast<int>(lower) : 0;
        for (int r = 0; r < kThetaGroupRows; ++r) {
          task.down[r] = padded.data() + r * num_units_ + unit + half * kThetaLanes;
        }
        task.lost = lost.data() + half * kThetaLanes;
        task.values = values + half * kThetaLanes;
        HWY_DYNAMIC_DISPATCH(ThetaValues)(task);
      }
      std::byte* const tile =
          group + (column_[n] + unit) / kThetaBlockUnits * PackedTileBytes(dtype_);
      UNSWIFT_RETURN_IF_ERROR(QuantiseTile(values, unit, n, tile));
    }
  }
  return {};
}

Result<> ThetaMaker::QuantiseTile(float* values, int64_t unit, int order, std::byte* tile) const {
  const ConstRows rows(values, kThetaGroupRows, kThetaBlockUnits);
  const auto* const bytes = reinterpret_cast<const std::byte*>(values);
  FastPackRows(dtype_, rows, tile);
  // The scales come first; as f16 they end at 65504.
  if (!AllFinite(DType::kF32, bytes, kThetaGroupRows * kThetaBlockUnits) ||
      !AllFinite(DType::kF16, tile, kThetaGroupRows)) {
    return MakeError(ErrorCode::kInvalidData,
                     "[make_theta] units {} to {} order {}: expected finite entries that {} can "
                     "hold, got others",
                     unit, unit + kThetaBlockUnits - 1, order, DTypeName(dtype_));
  }
  if (!use_carry_) return {};
  const MatrixView stored = PackedView(dtype_, kThetaGroupRows, kThetaBlockUnits, tile);
  float widened[kThetaBlockUnits];
  for (int64_t r = 0; r < kThetaGroupRows; ++r) {
    FastMatrixRowToF32(stored, r, widened);
    float* const row = values + r * kThetaBlockUnits;
    for (int i = 0; i < kThetaBlockUnits; ++i) row[i] -= widened[i];
  }
  return {};
}

Result<> ThetaMaker::MakeRows(ConstRows down, std::byte* out, int64_t row_bytes) const {
  UNSWIFT_CHECK(down.cols == num_units_);
  if (IsQuantized(dtype_)) {
    for (int64_t r = 0; r < down.rows; r += kThetaGroupRows) {
      const int64_t count = std::min<int64_t>(kThetaGroupRows, down.rows - r);
      UNSWIFT_RETURN_IF_ERROR(MakePackedGroup(down.Slice(r, count), out + r * row_bytes));
    }
    return {};
  }
  const int64_t blocks = static_cast<int64_t>(block_order_.size());
  for (int64_t chunk = 0; chunk < blocks; chunk += kBlocksPerChunk) {
    const int64_t chunk_end = std::min(chunk + kBlocksPerChunk, blocks);
    for (int64_t row = 0; row < down.rows; row += kThetaRows) {
      const int rows = static_cast<int>(std::min<int64_t>(kThetaRows, down.rows - row));
      for (int64_t block = chunk; block < chunk_end; ++block) {
        UNSWIFT_RETURN_IF_ERROR(
            MakeBlock(block, row, down.Slice(row, rows), out + row * row_bytes, row_bytes));
      }
    }
  }
  return {};
}

Result<> ThetaMaker::MakeBlock(int64_t block, int64_t first_row, ConstRows down, std::byte* out,
                               int64_t row_bytes) const {
  const int64_t begin = block * kThetaLanes;
  const int64_t count = std::min<int64_t>(kThetaLanes, num_units_ - begin);
  ThetaTask task;
  task.dtype = dtype_;
  task.first_order = first_order_;
  task.max_order = block_order_[block];
  task.coefficients = tables_.get() + block_offset_[block];
  if (use_carry_) task.carry = task.coefficients + (task.max_order + 1) * kThetaLanes;
  int64_t column[kMaxSeriesOrder + 1];
  int lanes[kMaxSeriesOrder + 1];
  for (int n = 0; n <= task.max_order; ++n) {
    column[n] = column_[n] + begin;
    lanes[n] = static_cast<int>(std::clamp<int64_t>(units_of_order_[n] - begin, 0, count));
  }
  task.column = column;
  task.lanes = lanes;
  task.rows = static_cast<int>(down.rows);
  alignas(64) float padded[kThetaRows][kThetaLanes] = {};
  for (int r = 0; r < kThetaRows; ++r) {
    const int64_t from = std::min<int64_t>(r, down.rows - 1);
    task.down[r] = down.data + from * down.stride + begin;
    task.out[r] = out + from * row_bytes;
    if (count == kThetaLanes) continue;
    std::copy_n(task.down[r], count, padded[r]);
    task.down[r] = padded[r];
  }
  if (HWY_DYNAMIC_DISPATCH(RoundTheta)(task)) return OverflowError(block, task, first_row);
  return {};
}

Result<> ThetaMaker::OverflowError(int64_t block, const ThetaTask& task, int64_t row) const {
  // Found again by reading back what was written.
  const int64_t element = BlockBytes(dtype_);
  for (int r = 0; r < task.rows; ++r) {
    for (int n = first_order_; n <= task.max_order; ++n) {
      for (int lane = 0; lane < task.lanes[n]; ++lane) {
        float value = 0.0f;
        RowToF32(dtype_, task.out[r] + (task.column[n] + lane) * element, {&value, 1});
        if (std::isfinite(value)) continue;
        return MakeError(ErrorCode::kInvalidData,
                         "[make_theta] unit {} row {} order {}: expected a finite {} entry, got {} "
                         "(D = {}, coefficient = {})",
                         block * kThetaLanes + lane, row + r, n, DTypeName(dtype_), value,
                         task.down[r][lane], task.coefficients[n * kThetaLanes + lane]);
      }
    }
  }
  return MakeError(ErrorCode::kInvalidData, "[make_theta] expected finite D, got NaN or infinity");
}

double ThetaMaker::ConstantTerm(std::span<const float> down) const {
  UNSWIFT_CHECK(static_cast<int64_t>(down.size()) == num_units_);
  double sum = 0.0;
  for (int64_t i = 0; i < num_units_; ++i) sum += down[i] * constant_[i];
  return sum;
}

}  // namespace unswift
#endif  // HWY_ONCE
