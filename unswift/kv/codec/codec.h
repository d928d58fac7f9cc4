// How a cached key or value row is stored. One codec per file; the table is in codec.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "unswift/base/result.h"
#include "unswift/tensor/dtype.h"

namespace unswift {

class KvCodec {
 public:
  virtual ~KvCodec() = default;
  virtual std::string_view name() const = 0;
  /// Bytes of one stored row of head_dim values.
  virtual int64_t RowBytes(int64_t head_dim) const = 0;
  virtual void Encode(std::span<const float> row, std::byte* stored) const = 0;
  virtual void Decode(const std::byte* stored, std::span<float> row) const = 0;
  /// Set when a stored row is its values one after the other in this type, so that attention reads
  /// it in place.
  virtual std::optional<DType> stored_dtype() const { return std::nullopt; }
};

/// Errors: kUnsupported naming the known codecs.
Result<std::shared_ptr<const KvCodec>> MakeKvCodec(std::string_view name);

/// dtype: f32, f16 or bf16.
std::shared_ptr<const KvCodec> MakeElementwiseCodec(DType dtype);

}  // namespace unswift
