// Matrix multiplication by bf16 products and float32 sums, of operands more precise than bf16. An
// activation is cut into two bf16 parts, x = high + low + r with |r| <= 2^-17 |x|; so is a weight
// of another type than bf16 (f16 and q4_0: exactly). All products of parts are summed.
#pragma once

#include <cstdint>

#include "unswift/tensor/rows.h"
#include "unswift/tensor/tensor_view.h"

namespace unswift {

/// What multiplies bf16. kTiles: Intel's AMX, 16 times as many products a cycle as float32 has;
/// kDot: AVX-512's vdpbf16ps, twice as many (lane_gemm.h). So two parts of both operands, and what
/// follows here, are worth it on tiles alone.
enum class Bf16Unit { kNone, kDot, kTiles };

/// What kernels use now: the processor has it, the system lets this process use it (asked once),
/// and the current kernel target is the one of such processors (tests hold the kernels of other
/// instruction sets to their bounds on the same machine).
Bf16Unit CurrentBf16Unit();
inline bool UsesAmx() { return CurrentBf16Unit() == Bf16Unit::kTiles; }

/// Parts of a stored weight: 1 (bf16) or 2.
int Bf16WeightParts(DType dtype);

// Sizes in bf16 elements. k is padded to 32, rows to 16 (weights: 32), all with zeros.
inline constexpr int64_t kBf16TileElements = 512;  ///< 16 rows of 32

/// Activation rows in tile form, two parts, or one that is rounded: [m tiles][k tiles][parts]
/// tiles, each 16 (k pairs) x 16 (m) x 2.
struct Bf16Activations {
  uint16_t* data = nullptr;
  int64_t m_tiles = 0, k_tiles = 0;
  int parts = 2;
  uint16_t* Tile(int64_t m_tile, int64_t k_tile) const {
    return data + (m_tile * k_tiles + k_tile) * parts * kBf16TileElements;
  }
};
/// Fills one m tile from up to 16 rows.
void Bf16PackActivations(ConstRows rows, int64_t m_tile, const Bf16Activations& out);

/// Weight rows [n tiles][k tiles][parts] tiles, each 16 (n) x 32 (k). A part of a larger one is a
/// view too: n tiles lie k_stride tiles apart.
struct Bf16Weights {
  uint16_t* data = nullptr;
  int64_t n_tiles = 0, k_tiles = 0, k_stride = 0;
  int parts = 1;
  uint16_t* Tile(int64_t n_tile, int64_t k_tile) const {
    return data + (n_tile * k_stride + k_tile) * parts * kBf16TileElements;
  }
  Bf16Weights Part(int64_t n_tile, int64_t n_count, int64_t k_tile, int64_t k_count) const {
    return {Tile(n_tile, k_tile), n_count, k_count, k_stride, parts};
  }
  int64_t num_elements() const { return n_tiles * k_stride * parts * kBf16TileElements; }
};
/// Fills one n tile from up to 16 rows of float32 (rows, cols as given; strides in floats).
void Bf16PackWeights(ConstRows rows, int64_t n_tile, const Bf16Weights& out);
/// The same from stored bf16, one part, without widening.
void Bf16CopyWeights(const MatrixView& rows, int64_t n_tile, const Bf16Weights& out);

/// Fills one k tile of all n tiles from up to 32 rows of float32 that stand for k (values of
/// attention: a row per key, an output per column).
void Bf16PackTransposed(ConstRows rows, int64_t k_tile, const Bf16Weights& out);
/// Fills one k tile of activations that lie transposed: up to 32 rows of k, a column per m. cols is
/// m_tiles * 16; 64-byte aligned rows.
void Bf16PackTransposedActivations(ConstRows rows, int64_t k_tile, const Bf16Activations& out);

/// sums[n][m] (+)= weights x activations over the weights' k tiles, which are the activations' from
/// first_k_tile on. sums: [n_tiles * 16, stride >= m_tiles * 16] floats, 64-byte aligned rows.
void Bf16Multiply(const Bf16Weights& weights, const Bf16Activations& x, int64_t first_k_tile,
                  bool accumulate, float* sums, int64_t stride);

/// y[m][n] (+)= sums[n][m] (+ bias[n]) for y's rows and columns.
void Bf16Store(const float* sums, int64_t stride, const float* bias, bool accumulate, Rows y);

}  // namespace unswift
