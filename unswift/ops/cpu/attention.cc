#include "unswift/ops/attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unswift/ops/cpu/attention-inl.h"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "unswift/ops/cpu/attention-inl.h"

#if HWY_ONCE
#include <algorithm>
#include <cmath>
#include <vector>

#include "unswift/base/check.h"
#include "unswift/base/integers.h"
#include "unswift/ops/cpu/scratch.h"

namespace unswift {

HWY_EXPORT(DecodeSplitKernel);
HWY_EXPORT(PrefillBlockKernel);
HWY_EXPORT(PrefillScratch);

namespace {

// Below this many multiply-adds, waking threads costs more than it saves.
constexpr int64_t kMinParallelWork = 1 << 17;

template <typename Fn>
void ForEachItem(const AttentionCall& call, int64_t count, ThreadPool& pool, const Fn& fn) {
  const int64_t work = call.q.rows * call.q.cols * (call.kv.kv_len - call.FirstVisible(0));
  if (work < kMinParallelWork) {
    for (int64_t item = 0; item < count; ++item) fn(item);
  } else {
    pool.ParallelForDynamic(count, [&](int64_t item, int) { fn(item); });
  }
}

/// out = sum of partials, each weighted by exp(its maximum - the overall one), in split order.
void MergeSplits(const float* partial, int64_t num_splits, int64_t split_stride, int64_t head_dim,
                 float* out) {
  float largest = -INFINITY;
  for (int64_t s = 0; s < num_splits; ++s) {
    const float* p = partial + s * split_stride;
    if (p[1] != 0.0f) largest = std::max(largest, p[0]);
  }
  std::fill_n(out, head_dim, 0.0f);
  float total = 0.0f;
  for (int64_t s = 0; s < num_splits; ++s) {
    const float* p = partial + s * split_stride;
    if (p[1] == 0.0f) continue;  // no key of this split is visible
    const float weight = std::exp(p[0] - largest);
    total += weight * p[1];
    for (int64_t i = 0; i < head_dim; ++i) out[i] += weight * p[2 + i];
  }
  for (int64_t i = 0; i < head_dim; ++i) out[i] /= total;
}

void Decode(const AttentionCall& call, ThreadPool& pool) {
  // Splits lie at fixed positions; a window skips those before its first row's.
  const int64_t first_split = call.FirstVisible(0) / kDecodeSplit;
  const int64_t num_splits = CeilDiv(call.kv.kv_len, kDecodeSplit) - first_split;
  const int64_t num_rows = call.q.rows * call.group;  // per key/value head
  const int64_t row_size = PartialSize(call.kv.head_dim);
  const int64_t item_size = num_rows * row_size;
  float* partials = ThreadScratch(ScratchSlot::kAttentionPartials,
                                  call.kv.num_key_value_heads * num_splits * item_size);
  ForEachItem(call, call.kv.num_key_value_heads * num_splits, pool, [&](int64_t item) {
    const int64_t begin = (first_split + item % num_splits) * kDecodeSplit;
    const int64_t end = std::min(begin + kDecodeSplit, call.kv.kv_len);
    float* scratch = ThreadScratch(ScratchSlot::kAttentionWork, DecodeScratch(call.kv.head_dim));
    HWY_DYNAMIC_DISPATCH(DecodeSplitKernel)
    (call, item / num_splits, begin, end, scratch, partials + item * item_size);
  });
  for (int64_t head = 0; head < call.kv.num_key_value_heads * call.group; ++head) {
    const float* of_head = partials + head / call.group * num_splits * item_size;
    for (int64_t i = 0; i < call.q.rows; ++i) {
      MergeSplits(of_head + (i * call.group + head % call.group) * row_size, num_splits, item_size,
                  call.kv.head_dim, call.Out(i, head));
    }
  }
}

std::vector<PrefillBlock> PrefillBlocks(const AttentionCall& call) {
  std::vector<PrefillBlock> blocks;
  const int64_t heads = std::min(call.group, kQueryBlock);
  const int64_t positions = kQueryBlock / heads;
  // Last positions first: they see the most keys, and long items first balance the threads. A block
  // that is not full uses the kernel badly, so it is the one that sees the fewest.
  for (int64_t end = call.q.rows; end > 0; end -= positions) {
    const int64_t begin = std::max<int64_t>(end - positions, 0);
    for (int64_t kv_head = 0; kv_head < call.kv.num_key_value_heads; ++kv_head) {
      for (int64_t h = 0; h < call.group; h += heads) {
        blocks.push_back({kv_head, kv_head * call.group + h, std::min(heads, call.group - h), begin,
                          end - begin});
      }
    }
  }
  return blocks;
}

/// Packs every key and value that the call reads, once: 8 bytes for each, of one layer.
Bf16Kv PackKv(const AttentionCall& call, ThreadPool& pool) {
  const KvView& kv = call.kv;
  Bf16Kv packed;
  packed.begin = call.FirstVisible(0) / kKeyTile * kKeyTile;
  const int64_t num_tiles = CeilDiv(kv.kv_len - packed.begin, kKeyTile);
  packed.keys.n_tiles = num_tiles * (kKeyTile / 16);
  packed.keys.k_tiles = packed.keys.k_stride = kv.head_dim / 32;
  packed.values.n_tiles = kv.head_dim / 16;
  packed.values.k_tiles = packed.values.k_stride = num_tiles * (kKeyTile / 32);
  packed.keys.parts = packed.values.parts = 2;
  packed.keys.data = ThreadScratch16(ScratchSlot::kPackedKeys,
                                     kv.num_key_value_heads * packed.keys.num_elements());
  packed.values.data = ThreadScratch16(ScratchSlot::kPackedValues,
                                       kv.num_key_value_heads * packed.values.num_elements());
  pool.ParallelForDynamic(kv.num_key_value_heads * num_tiles, [&](int64_t item, int) {
    const int64_t head = item / num_tiles, key = packed.begin + item % num_tiles * kKeyTile;
    const int64_t count = std::min(kKeyTile, kv.kv_len - key);
    float* widened = ThreadScratch(ScratchSlot::kAttentionWork, kKeyTile * kv.head_dim);
    const ConstRows keys(KvRows(kv, kv.keys, head, key, count, widened), count, kv.head_dim);
    for (int64_t i = 0; i < kKeyTile; i += 16) {
      const int64_t first = std::min(i, count);
      Bf16PackWeights(keys.Slice(first, std::min<int64_t>(16, count - first)), i / 16,
                      packed.Keys(head, key));
    }
    const ConstRows values(KvRows(kv, kv.values, head, key, count, widened), count, kv.head_dim);
    for (int64_t i = 0; i < kKeyTile; i += 32) {
      const int64_t first = std::min(i, count);
      Bf16PackTransposed(values.Slice(first, std::min<int64_t>(32, count - first)), i / 32,
                         packed.Values(head, key));
    }
  });
  return packed;
}

void Prefill(const AttentionCall& call, ThreadPool& pool) {
  const bool uses_amx = call.kv.head_dim % 32 == 0 && UsesAmx();
  const Bf16Kv packed = uses_amx ? PackKv(call, pool) : Bf16Kv();
  const std::vector<PrefillBlock> blocks = PrefillBlocks(call);
  const int64_t scratch_size = HWY_DYNAMIC_DISPATCH(PrefillScratch)(call.kv.head_dim);
  ForEachItem(call, static_cast<int64_t>(blocks.size()), pool, [&](int64_t item) {
    float* scratch = ThreadScratch(ScratchSlot::kAttentionWork, scratch_size);
    HWY_DYNAMIC_DISPATCH(PrefillBlockKernel)
    (call, blocks[item], uses_amx ? &packed : nullptr, scratch);
  });
}

}  // namespace

void Attention(ConstRows q, const KvView& kv, const AttentionOptions& options, Rows out,
               ThreadPool& pool) {
  UNSWIFT_CHECK(kv.head_dim > 0 && kv.num_key_value_heads > 0);
  const int64_t num_heads = q.cols / kv.head_dim;
  UNSWIFT_CHECK(q.cols == num_heads * kv.head_dim && num_heads % kv.num_key_value_heads == 0);
  UNSWIFT_CHECK(out.rows == q.rows && out.cols == q.cols && kv.kv_len >= q.rows);
  UNSWIFT_CHECK(options.window >= 0 && options.softcap >= 0.0f);
  if (q.rows == 0) return;
  const AttentionCall call{q, kv, options, out, num_heads / kv.num_key_value_heads};
  if (q.rows <= kMaxDecodeRows) {
    Decode(call, pool);
  } else {
    Prefill(call, pool);
  }
}

}  // namespace unswift
#endif  // HWY_ONCE
