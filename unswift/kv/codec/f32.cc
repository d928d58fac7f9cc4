// "f32": the values as they are, 4 bytes each.
#include <cstring>

#include "unswift/kv/codec/codec.h"

namespace unswift {
namespace {

class F32Codec final : public KvCodec {
 public:
  std::string_view name() const override { return "f32"; }
  int64_t RowBytes(int64_t head_dim) const override { return 4 * head_dim; }
  void Encode(std::span<const float> row, std::byte* stored) const override {
    std::memcpy(stored, row.data(), row.size_bytes());
  }
  void Decode(const std::byte* stored, std::span<float> row) const override {
    std::memcpy(row.data(), stored, row.size_bytes());
  }
  bool StoresF32() const override { return true; }
};

}  // namespace

std::shared_ptr<const KvCodec> MakeF32Codec() { return std::make_shared<F32Codec>(); }

}  // namespace unswift
