// Matrix multiplication on Intel's AMX tiles: bf16 products, float32 sums, operands more precise
// than bf16. An activation is cut into two bf16 parts, x = high + low + r with |r| <= 2^-17 |x|; so
// is a weight of another type than bf16 (f16 and q4_0: exactly). All products of parts are summed.
#pragma once

#include <cstdint>

#include "unswift/tensor/rows.h"
#include "unswift/tensor/tensor_view.h"

namespace unswift {

/// Whether kernels use bf16 tiles now: the processor has them, the system lets this process use
/// them (asked once), and the current kernel target is the one of such processors (tests hold the
/// kernels of other instruction sets to their bounds on a machine with AMX).
bool UsesAmx();

/// Parts of a stored weight: 1 (bf16) or 2.
int AmxWeightParts(DType dtype);

// Sizes in bf16 elements. k is padded to 32, rows to 16 (weights: 32), all with zeros.
inline constexpr int64_t kAmxTileElements = 512;  ///< 16 rows of 32

/// Activation rows in tile form, two parts, or one that is rounded: [m tiles][k tiles][parts]
/// tiles, each 16 (k pairs) x 16 (m) x 2.
struct AmxActivations {
  uint16_t* data = nullptr;
  int64_t m_tiles = 0, k_tiles = 0;
  int parts = 2;
  uint16_t* Tile(int64_t m_tile, int64_t k_tile) const {
    return data + (m_tile * k_tiles + k_tile) * parts * kAmxTileElements;
  }
};
/// Fills one m tile from up to 16 rows.
void AmxPackActivations(ConstRows rows, int64_t m_tile, const AmxActivations& out);

/// Weight rows [n tiles][k tiles][parts] tiles, each 16 (n) x 32 (k). A part of a larger one is a
/// view too: n tiles lie k_stride tiles apart.
struct AmxWeights {
  uint16_t* data = nullptr;
  int64_t n_tiles = 0, k_tiles = 0, k_stride = 0;
  int parts = 1;
  uint16_t* Tile(int64_t n_tile, int64_t k_tile) const {
    return data + (n_tile * k_stride + k_tile) * parts * kAmxTileElements;
  }
  AmxWeights Part(int64_t n_tile, int64_t n_count, int64_t k_tile, int64_t k_count) const {
    return {Tile(n_tile, k_tile), n_count, k_count, k_stride, parts};
  }
  int64_t num_elements() const { return n_tiles * k_stride * parts * kAmxTileElements; }
};
/// Fills one n tile from up to 16 rows of float32 (rows, cols as given; strides in floats).
void AmxPackWeights(ConstRows rows, int64_t n_tile, const AmxWeights& out);
/// The same from stored bf16, one part, without widening.
void AmxPackBf16Weights(const MatrixView& rows, int64_t n_tile, const AmxWeights& out);

/// Fills one k tile of all n tiles from up to 32 rows of float32 that stand for k (values of
/// attention: a row per key, an output per column).
void AmxPackTransposed(ConstRows rows, int64_t k_tile, const AmxWeights& out);
/// Fills one k tile of activations that lie transposed: up to 32 rows of k, a column per m. cols is
/// m_tiles * 16; 64-byte aligned rows.
void AmxPackTransposedActivations(ConstRows rows, int64_t k_tile, const AmxActivations& out);

/// sums[n][m] (+)= weights x activations over the weights' k tiles, which are the activations' from
/// first_k_tile on. sums: [n_tiles * 16, stride >= m_tiles * 16] floats, 64-byte aligned rows.
void AmxMultiply(const AmxWeights& weights, const AmxActivations& x, int64_t first_k_tile,
                 bool accumulate, float* sums, int64_t stride);

/// y[m][n] (+)= sums[n][m] (+ bias[n]) for y's rows and columns.
void AmxStore(const float* sums, int64_t stride, const float* bias, bool accumulate, Rows y);

}  // namespace unswift
