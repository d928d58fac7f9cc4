// Causal softmax attention of one sequence over its cached keys and values.
#pragma once

#include "unswift/base/thread_pool.h"
#include "unswift/tensor/dtype.h"
#include "unswift/tensor/rows.h"

namespace unswift {

/// Cached keys and values of one layer: head h's position p at element h * head_stride + p *
/// head_dim. Shapes: keys, values [num_key_value_heads, >= kv_len, head_dim] f32, f16 or bf16.
struct KvView {
  const void* keys = nullptr;
  const void* values = nullptr;
  int64_t head_stride = 0;  ///< elements between two heads
  int64_t kv_len = 0;
  int64_t num_key_value_heads = 0;
  int64_t head_dim = 0;
  DType dtype = DType::kF32;
};

struct AttentionOptions {
  float scale = 1.0f;    ///< of q k^T
  int64_t window = 0;    ///< newest positions that a row sees, itself included; 0: all
  float softcap = 0.0f;  ///< scaled scores s become softcap * tanh(s / softcap); 0: as they are
};

/// out = softmax(scores, causal) v per head; query head h reads key/value head
/// h / (num_heads / num_key_value_heads). The last query row sees all kv_len positions, the row
/// before it one less, and so on (the rows are the newest positions, already in the cache), each
/// no more than the window.
/// Shapes: q, out [q_len, num_heads * head_dim]; not overlapping.
/// Accumulates in: float32 with the running maximum subtracted (online softmax, arXiv 2205.14135);
///   memory linear in kv_len. Stored halves are widened. Many rows on AMX: operands of both
///   products cut into two bf16 parts (2^-17 of each), see ops/cpu/bf16_gemm.h.
/// Cost: positions outside of every row's window are not read.
void Attention(ConstRows q, const KvView& kv, const AttentionOptions& options, Rows out,
               ThreadPool& pool);

}  // namespace unswift
