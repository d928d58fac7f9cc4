// Arguments of the attention kernels, and how the work is cut. All sizes here are part of the
// definition of the result (the order of its sums), so none depends on the number of threads.
#pragma once

#include <cstdint>

#include "unswift/ops/attention.h"
#include "unswift/ops/convert.h"
#include "unswift/ops/cpu/bf16_gemm.h"

namespace unswift {

/// Up to this many query rows take the decode kernel, which works along head_dim.
inline constexpr int64_t kMaxDecodeRows = 4;
/// Keys of one decode work item.
inline constexpr int64_t kDecodeSplit = 256;
/// Floats of scratch of a decode work item: the scores of up to four query rows, and the split's
/// keys and values widened.
inline int64_t DecodeScratch(int64_t head_dim) { return (4 + 2 * head_dim) * kDecodeSplit; }
/// Prefill: query rows (positions x heads of a group) and keys of one tile.
inline constexpr int64_t kQueryBlock = 64;
inline constexpr int64_t kKeyTile = 64;

struct AttentionCall {
  ConstRows q;
  KvView kv;
  AttentionOptions options;
  Rows out;
  int64_t group = 1;  ///< query heads per key/value head

  /// Query row `i` sees positions [FirstVisible, EndVisible).
  int64_t EndVisible(int64_t i) const { return kv.kv_len - (q.rows - 1 - i); }
  int64_t FirstVisible(int64_t i) const {
    const int64_t first = EndVisible(i) - options.window;
    return options.window > 0 && first > 0 ? first : 0;
  }
  const float* Query(int64_t i, int64_t head) const {
    return q.data + i * q.stride + head * kv.head_dim;
  }
  float* Out(int64_t i, int64_t head) const {
    return out.data + i * out.stride + head * kv.head_dim;
  }
};

/// What a decode work item leaves behind per query row: the maximum score, the sum of
/// exp(score - maximum), and the values weighted by those (head_dim floats).
inline int64_t PartialSize(int64_t head_dim) { return head_dim + 2; }

/// Stored rows [begin, begin + count) of one head as float32, row after row: in place, or widened
/// into `scratch` (count * head_dim floats).
inline const float* KvRows(const KvView& kv, const void* stored, int64_t kv_head, int64_t begin,
                           int64_t count, float* scratch) {
  const int64_t first = kv_head * kv.head_stride + begin * kv.head_dim;
  if (kv.dtype == DType::kF32) return static_cast<const float*>(stored) + first;
  FastRowToF32(kv.dtype, static_cast<const std::byte*>(stored) + first * BlockBytes(kv.dtype),
               {scratch, static_cast<size_t>(count * kv.head_dim)});
  return scratch;
}

/// All keys and values that a prefill reads, from position `begin` on, in tiles for AMX, of every
/// head. Keys: n = position, k = dimension. Values: n = dimension, k = position.
struct Bf16Kv {
  int64_t begin = 0;         ///< a multiple of kKeyTile
  Bf16Weights keys, values;  ///< of head 0
  Bf16Weights Keys(int64_t kv_head, int64_t key) const {
    Bf16Weights head = keys;
    head.data += kv_head * keys.num_elements();
    return head.Part((key - begin) / 16, kKeyTile / 16, 0, keys.k_tiles);
  }
  Bf16Weights Values(int64_t kv_head, int64_t key) const {
    Bf16Weights head = values;
    head.data += kv_head * values.num_elements();
    return head.Part(0, values.n_tiles, (key - begin) / 32, kKeyTile / 32);
  }
};

/// A prefill work item: up to kQueryBlock query rows that read one key/value head, position by
/// position, the heads of a position side by side.
struct PrefillBlock {
  int64_t kv_head = 0;
  int64_t first_head = 0;
  int64_t num_heads = 0;
  int64_t first_position = 0;
  int64_t num_positions = 0;
};

}  // namespace unswift
