// The one matmul entry: float32 activations times a stored weight matrix.
#pragma once

#include <span>

#include "unswift/base/thread_pool.h"
#include "unswift/tensor/rows.h"
#include "unswift/tensor/tensor_view.h"

namespace unswift {

enum class MatMulMode {
  kOverwrite,   ///< y = x W^T (+ bias)
  kAccumulate,  ///< y += x W^T (+ bias)
};

/// How exactly activations enter products of many rows.
enum class ActivationPrecision {
  kFloat32,  ///< as they are
  kBF16,     ///< rounded to bf16 where the processor multiplies those faster
};

/// One of several products of the same activations.
struct MatMulOutput {
  MatrixView weight;
  const float* bias = nullptr;
  Rows y;
};

/// Multiplies activations by a weight matrix as checkpoints store it (one row per output).
/// Shapes: x [m, k] f32; weight [n, k] f32, f16, bf16, or packed q8_0, q4_0; bias [n] f32 or null;
///   y [m, n] f32, not overlapping x.
/// Accumulates in: float32; |err| <= c * eps32 * sum_k |x_k w_k|, c in matmul_test.cc. Up to
///   kSkinnyRows rows, and beyond unless the processor has tile units (AMX), packed weights on a
///   CPU with AVX-512 VNNI also round the activations of each block of 32 to 1 / 32,512 of their
///   largest (packed_matmul_test.cc has the bound).
/// Deterministic: y does not depend on the number of threads.
/// A weight that is not finite makes its outputs not finite.
/// Cost: up to kSkinnyRows rows the weights are streamed once from memory. Beyond, operands are cut
///   into bf16 parts where the processor has tile units (ops/cpu/bf16_gemm.h), or packed weights
///   multiplied in integers (ops/cpu/packed_vnni.h), or blocks of weights packed beside the
///   products of others (AVX-512 without tiles: ops/cpu/lane_gemm.h), or else tiles of weights are
///   widened and multiplied by oneDNN's float32 GEMM.
void MatMul(ConstRows x, const MatrixView& weight, const float* bias, Rows y, ThreadPool& pool,
            MatMulMode mode = MatMulMode::kOverwrite,
            ActivationPrecision precision = ActivationPrecision::kFloat32);

/// The same for several weight matrices, bit for bit. Neighbours of one type share what is done to
/// the activations, and threads wait for each other once: up to kSkinnyRows rows, and beyond where
/// packed weights are multiplied in integers.
void MatMul(ConstRows x, std::span<const MatMulOutput> outputs, ThreadPool& pool,
            MatMulMode mode = MatMulMode::kOverwrite,
            ActivationPrecision precision = ActivationPrecision::kFloat32);

/// Largest number of rows that take the streaming kernel. Up to there a row's result does not
/// depend on the other rows (one token decoded alone or in a batch: the same bits).
inline constexpr int64_t kSkinnyRows = 32;

/// Whether products of more rows with such weights are sums of bf16 products here and now.
bool MatMulUsesBf16Parts(DType weight,
                         ActivationPrecision precision = ActivationPrecision::kFloat32);

}  // namespace unswift
