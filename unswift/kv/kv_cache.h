// The keys and values that one sequence has cached.
//
// Two axes: the policy (a subclass of KvCache, one file in policy/: what is kept) and the codec
// (one file in codec/: how a kept row is stored).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "unswift/base/result.h"
#include "unswift/kv/codec/codec.h"
#include "unswift/ops/attention.h"
#include "unswift/tensor/rows.h"

namespace unswift {

struct KvShape {
  int64_t num_layers = 0;
  int64_t num_key_value_heads = 0;
  int64_t head_dim = 0;
};

class KvCache {
 public:
  virtual ~KvCache() = default;

  /// Positions seen so far in every layer; the next token's position.
  virtual int64_t length() const = 0;

  /// Adds the newest positions of one layer (prefill: many rows, decode: one).
  /// Shapes: keys (already rotated), values [n, num_key_value_heads * head_dim].
  virtual void Append(int64_t layer, ConstRows keys, ConstRows values) = 0;

  /// What attention of a layer reads. Valid until the next call on this cache.
  virtual KvView View(int64_t layer) = 0;

  /// Ends a forward pass that appended n positions to every layer.
  virtual void Advance(int64_t n) = 0;

  /// Forgets everything; keeps the memory.
  virtual void Clear() = 0;

  /// Bytes that the kept rows take (not the spare capacity).
  virtual int64_t num_bytes() const = 0;
};

/// Makes an empty cache. policy: "full". codec: "f32", "f16", "bf16". Errors: kUnsupported naming
/// what exists.
Result<std::unique_ptr<KvCache>> MakeKvCache(const KvShape& shape, std::string_view policy = "full",
                                             std::string_view codec = "f32");

std::unique_ptr<KvCache> MakeFullCache(const KvShape& shape, std::shared_ptr<const KvCodec> codec);

}  // namespace unswift
