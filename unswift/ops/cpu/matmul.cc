#include "unswift/ops/matmul.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unswift/ops/cpu/matmul-inl.h"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "unswift/ops/cpu/matmul-inl.h"

#if HWY_ONCE
#include <algorithm>

#include "unswift/base/check.h"
#include "unswift/base/integers.h"
#include "unswift/ops/cpu/bf16_gemm.h"
#include "unswift/ops/cpu/gemm.h"
#include "unswift/ops/cpu/lane_gemm.h"
#include "unswift/ops/cpu/packed_matmul.h"
#include "unswift/ops/cpu/partition.h"
#include "unswift/ops/cpu/scratch.h"
#include "unswift/ops/pack.h"

namespace unswift {

HWY_EXPORT(SkinnyRange);
HWY_EXPORT(ActivationChunk);
HWY_EXPORT(LayOutRow);

namespace {

// Below this many multiply-adds, waking a thread costs more than it saves.
constexpr int64_t kMinWorkPerThread = 1 << 15;
// Weight tiles of the GEMM path: part of the definition of the result (the order of its sums), so
// they depend on the shape only. 2 MiB of scratch per thread.
constexpr int64_t kTileRows = 192;  // a multiple of 48, the row block of oneDNN's AVX-512 kernel
constexpr int64_t kTileCols = 2048;
constexpr int64_t kTilePad = 16;  // rows of a power of two would fall into the same cache sets

/// Weights of one type.
void StreamingMatMul(ConstRows x, std::span<const MatMulOutput> outputs, ThreadPool& pool,
                     bool accumulate) {
  const int64_t k = x.cols;
  const int64_t x_stride = RoundUp(k, HWY_DYNAMIC_DISPATCH(ActivationChunk)());
  float* laid_out = ThreadScratch(ScratchSlot::kActivations, x.rows * x_stride);
  ForEachRow(x.rows, k, pool, [&](int64_t i) {
    HWY_DYNAMIC_DISPATCH(LayOutRow)
    (outputs[0].weight.dtype, x.row(i).data(), k, laid_out + i * x_stride);
  });
  const int64_t work_per_row = std::max<int64_t>(k * x.rows, 1);
  const int64_t grain = RoundUp(std::max<int64_t>(kMinWorkPerThread / work_per_row, 1), 4);
  pool.ParallelForEach(
      std::ssize(outputs), [&](int64_t i) { return outputs[i].weight.rows; }, grain,
      [&](int64_t i, int64_t begin, int64_t end) {
        const auto& [weight, bias, y] = outputs[i];
        const SkinnyMatMul op{
            laid_out, x_stride, weight, bias, y, accumulate, CurrentWeightReads()};
        HWY_DYNAMIC_DISPATCH(SkinnyRange)(op, begin, end);
      });
}

/// Fills y with what the products are added to. True when the GEMM has to add.
bool PrepareOutput(const float* bias, Rows y, bool accumulate) {
  if (bias == nullptr) return accumulate;
  for (int64_t i = 0; i < y.rows; ++i) {
    const std::span<float> row = y.row(i);
    for (int64_t j = 0; j < y.cols; ++j) row[j] = accumulate ? row[j] + bias[j] : bias[j];
  }
  return true;
}

void WidenTile(const MatrixView& tile, float* out, int64_t stride) {
  for (int64_t r = 0; r < tile.rows; ++r) {
    FastMatrixRowToF32(tile, r, {out + r * stride, static_cast<size_t>(tile.cols)});
  }
}

/// Float32 weights at float alignment go to the GEMM as they are.
bool NeedsNoWidening(const MatrixView& weight) {
  constexpr int64_t kFloatBytes = sizeof(float);
  return weight.dtype == DType::kF32 && weight.row_bytes % kFloatBytes == 0 &&
         reinterpret_cast<uintptr_t>(weight.data) % kFloatBytes == 0;
}

/// One tile of outputs over all of k.
void GemmTile(ConstRows x, const MatrixView& weight, const float* bias, Rows y, bool accumulate) {
  const bool add = PrepareOutput(bias, y, accumulate);
  for (int64_t k = 0; k < weight.cols; k += kTileCols) {
    const MatrixView tile = weight.Columns(k, std::min(kTileCols, weight.cols - k));
    const float* widened = reinterpret_cast<const float*>(tile.data);
    int64_t stride = tile.row_bytes / static_cast<int64_t>(sizeof(float));
    if (!NeedsNoWidening(tile)) {
      stride = kTileCols + kTilePad;
      float* scratch = ThreadScratch(ScratchSlot::kWidenedTile, kTileRows * stride);
      WidenTile(tile, scratch, stride);
      widened = scratch;
    }
    GemmOnThisThread(x.rows, tile.rows, tile.cols, x.data + k, x.stride, widened, stride,
                     add || k > 0, y.data, y.stride);
  }
}

void TiledMatMul(ConstRows x, const MatrixView& weight, const float* bias, Rows y, ThreadPool& pool,
                 bool accumulate) {
  const int64_t num_tiles = (weight.rows + kTileRows - 1) / kTileRows;
  pool.ParallelForDynamic(num_tiles, [&](int64_t tile, int) {
    const int64_t n = tile * kTileRows;
    const int64_t count = std::min(kTileRows, weight.rows - n);
    GemmTile(x, weight.Rows(n, count), bias == nullptr ? nullptr : bias + n, y.Columns(n, count),
             accumulate);
  });
}

// Tiles of the bf16 path: the packed weights of one (half a MiB per part) and its sums (another
// half) stay in a second-level cache of 2 MiB. An output's sum does not depend on them, only on its
// own row and column.
constexpr int64_t kBf16Rows = 512;
constexpr int64_t kBf16TileRows = 256;
constexpr int64_t kBf16TileCols = 1024;
// Packed activations of one block of rows, in bf16 elements: bounds the memory when k is large.
constexpr int64_t kMaxPackedActivations = 16 << 20;

/// A block of columns of one tile's weights, cut into parts.
void PackBf16Weights(const MatrixView& weight, const Bf16Weights& out) {
  for (int64_t tile = 0; tile < out.n_tiles; ++tile) {
    if (tile * 16 >= weight.rows) {  // an odd last tile's neighbour: zeros
      Bf16PackWeights(ConstRows(), tile, out);
      continue;
    }
    const MatrixView rows = weight.Rows(tile * 16, std::min<int64_t>(16, weight.rows - tile * 16));
    if (rows.dtype == DType::kBF16) {
      Bf16CopyWeights(rows, tile, out);
      continue;
    }
    float* widened = ThreadScratch(ScratchSlot::kWidenedTile, 16 * kBf16TileCols);
    WidenTile(rows, widened, kBf16TileCols);
    Bf16PackWeights({widened, rows.rows, rows.cols, kBf16TileCols}, tile, out);
  }
}

/// One tile of outputs over all of k.
void Bf16Tile(const Bf16Activations& x, const MatrixView& weight, const float* bias, Rows y,
              bool accumulate) {
  Bf16Weights packed;
  packed.parts = Bf16WeightParts(weight.dtype);
  packed.n_tiles = RoundUp(weight.rows, 32) / 16;
  packed.data = ThreadScratch16(ScratchSlot::kPackedWeights, packed.n_tiles * (kBf16TileCols / 32) *
                                                                 packed.parts * kBf16TileElements);
  const int64_t stride = x.m_tiles * 16;
  float* sums = ThreadScratch(ScratchSlot::kGemmSums, packed.n_tiles * 16 * stride);
  for (int64_t k = 0; k < weight.cols; k += kBf16TileCols) {
    const int64_t count = std::min(kBf16TileCols, weight.cols - k);
    packed.k_tiles = packed.k_stride = CeilDiv(count, 32);
    PackBf16Weights(weight.Columns(k, count), packed);
    Bf16Multiply(packed, x, k / 32, /*accumulate=*/k > 0, sums, stride);
  }
  Bf16Store(sums, stride, bias, accumulate, y);
}

void Bf16MatMul(ConstRows x, const MatrixView& weight, const float* bias, Rows y, ThreadPool& pool,
                bool accumulate, ActivationPrecision precision) {
  Bf16Activations packed;
  packed.parts = precision == ActivationPrecision::kBF16 ? 1 : 2;
  packed.k_tiles = CeilDiv(weight.cols, 32);
  const int64_t tile_elements = packed.k_tiles * packed.parts * kBf16TileElements;
  const int64_t max_rows =
      std::clamp<int64_t>(kMaxPackedActivations / tile_elements * 16, 64, kBf16Rows);
  for (int64_t m = 0; m < x.rows; m += max_rows) {
    const ConstRows block = x.Slice(m, std::min(max_rows, x.rows - m));
    packed.m_tiles = CeilDiv(block.rows, 16);
    packed.data = ThreadScratch16(ScratchSlot::kPackedActivations, packed.m_tiles * tile_elements);
    pool.ParallelForDynamic(packed.m_tiles, [&](int64_t tile, int) {
      const int64_t begin = tile * 16;
      Bf16PackActivations(block.Slice(begin, std::min<int64_t>(16, block.rows - begin)), tile,
                          packed);
    });
    pool.ParallelForDynamic(CeilDiv(weight.rows, kBf16TileRows), [&](int64_t tile, int) {
      const int64_t n = tile * kBf16TileRows;
      const int64_t count = std::min(kBf16TileRows, weight.rows - n);
      Bf16Tile(packed, weight.Rows(n, count), bias == nullptr ? nullptr : bias + n,
               y.Slice(m, block.rows).Columns(n, count), accumulate);
    });
  }
}

}  // namespace

// Float32 weights keep all their bits.
bool MatMulUsesBf16Parts(DType weight, ActivationPrecision precision) {
  switch (CurrentBf16Unit()) {
    case Bf16Unit::kNone:
      return false;
    case Bf16Unit::kTiles:
      return weight != DType::kF32;
    case Bf16Unit::kDot:
      return weight == DType::kBF16 && precision == ActivationPrecision::kBF16;
  }
  return false;
}

namespace {

void MatMulOfManyRows(ConstRows x, const MatMulOutput& output, ThreadPool& pool, bool accumulate,
                      ActivationPrecision precision) {
  const auto& [weight, bias, y] = output;
  if (weight.rows == 0) return;
  if (precision == ActivationPrecision::kBF16 &&
      LaneMatMulTakes(weight.dtype, LaneProducts::kBf16)) {
    LaneMatMul(x, weight, bias, y, pool, accumulate, LaneProducts::kBf16);
  } else if (MatMulUsesBf16Parts(weight.dtype, precision)) {
    Bf16MatMul(x, weight, bias, y, pool, accumulate, precision);
  } else if (LaneMatMulTakes(weight.dtype, LaneProducts::kFloat32)) {
    LaneMatMul(x, weight, bias, y, pool, accumulate, LaneProducts::kFloat32);
  } else {
    TiledMatMul(x, weight, bias, y, pool, accumulate);
  }
}

/// Weights of one type.
void MatMulOfOneType(ConstRows x, std::span<const MatMulOutput> outputs, ThreadPool& pool,
                     bool accumulate, ActivationPrecision precision) {
  const DType dtype = outputs[0].weight.dtype;
  const bool few_rows = x.rows <= kSkinnyRows || x.cols == 0;
  if (IsQuantized(dtype) &&
      (few_rows || (PackedKernelUsesVnni() && !MatMulUsesBf16Parts(dtype, precision)))) {
    return PackedMatMul(x, outputs, pool, accumulate);
  }
  if (few_rows) return StreamingMatMul(x, outputs, pool, accumulate);
  for (const MatMulOutput& output : outputs) {
    MatMulOfManyRows(x, output, pool, accumulate, precision);
  }
}

}  // namespace

void MatMul(ConstRows x, std::span<const MatMulOutput> outputs, ThreadPool& pool, MatMulMode mode,
            ActivationPrecision precision) {
  for (const auto& [weight, bias, y] : outputs) {
    UNSWIFT_CHECK(IsFloat(weight.dtype) || weight.is_packed());
    UNSWIFT_CHECK(x.cols == weight.cols && y.cols == weight.rows && x.rows == y.rows);
  }
  if (x.rows == 0) return;
  const bool accumulate = mode == MatMulMode::kAccumulate;
  while (!outputs.empty()) {  // neighbours of one type together
    size_t count = 1;
    while (count < outputs.size() && outputs[count].weight.dtype == outputs[0].weight.dtype) {
      ++count;
    }
    MatMulOfOneType(x, outputs.first(count), pool, accumulate, precision);
    outputs = outputs.subspan(count);
  }
}

void MatMul(ConstRows x, const MatrixView& weight, const float* bias, Rows y, ThreadPool& pool,
            MatMulMode mode, ActivationPrecision precision) {
  const MatMulOutput output{weight, bias, y};
  MatMul(x, {&output, 1}, pool, mode, precision);
}

}  // namespace unswift
#endif  // HWY_ONCE
