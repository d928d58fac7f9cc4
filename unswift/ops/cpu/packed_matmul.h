// The matmul of packed (q8_0, q4_0) weights.
#pragma once

#include "unswift/ops/matmul.h"

namespace unswift {

/// MatMul (ops/matmul.h) for packed weights, all of one type. In integers for any number of
/// activation rows; the float kernel streams the weights and is made for few.
void PackedMatMul(ConstRows x, std::span<const MatMulOutput> outputs, ThreadPool& pool,
                  bool accumulate);

/// Whether calls take the integer kernel (packed_vnni.h) now: the CPU has it, Highway's AVX-512
/// target runs, and no test forbids it.
bool PackedKernelUsesVnni();
void AllowVnniForTest(bool allowed);

}  // namespace unswift
