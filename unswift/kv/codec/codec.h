// How a cached key or value row is stored. One codec per file; the table is in codec.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "unswift/base/result.h"

namespace unswift {

class KvCodec {
 public:
  virtual ~KvCodec() = default;
  virtual std::string_view name() const = 0;
  /// Bytes of one stored row of head_dim values.
  virtual int64_t RowBytes(int64_t head_dim) const = 0;
  virtual void Encode(std::span<const float> row, std::byte* stored) const = 0;
  virtual void Decode(const std::byte* stored, std::span<float> row) const = 0;
  /// True when the stored bytes are the float32 values themselves, so that attention reads in
  /// place.
  virtual bool StoresF32() const { return false; }
};

/// Errors: kUnsupported naming the known codecs.
Result<std::shared_ptr<const KvCodec>> MakeKvCodec(std::string_view name);

std::shared_ptr<const KvCodec> MakeF32Codec();

}  // namespace unswift
