// The matmul of packed (q8_0, q4_0) weights.
#pragma once

#include "unswift/base/thread_pool.h"
#include "unswift/tensor/rows.h"
#include "unswift/tensor/tensor_view.h"

namespace unswift {

/// MatMul (ops/matmul.h) for a packed weight. In integers for any number of activation rows; the
/// float kernel streams the weights and is made for few.
void PackedMatMul(ConstRows x, const MatrixView& weight, const float* bias, Rows y,
                  ThreadPool& pool, bool accumulate);

/// Whether calls take the integer kernel (packed_vnni.h) now: the CPU has it, Highway's AVX-512
/// target runs, and no test forbids it.
bool PackedKernelUsesVnni();
void AllowVnniForTest(bool allowed);

}  // namespace unswift
