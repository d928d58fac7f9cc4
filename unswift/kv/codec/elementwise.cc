// "f32", "f16", "bf16": every value by itself, rounded to nearest.
#include "unswift/kv/codec/codec.h"
#include "unswift/tensor/convert.h"

namespace unswift {
namespace {

class ElementwiseCodec final : public KvCodec {
 public:
  explicit ElementwiseCodec(DType dtype) : dtype_(dtype) {}
  std::string_view name() const override { return DTypeName(dtype_); }
  int64_t RowBytes(int64_t head_dim) const override { return BlockBytes(dtype_) * head_dim; }
  void Encode(std::span<const float> row, std::byte* stored) const override {
    RowFromF32(dtype_, row, stored);
  }
  void Decode(const std::byte* stored, std::span<float> row) const override {
    RowToF32(dtype_, stored, row);
  }
  std::optional<DType> stored_dtype() const override { return dtype_; }

 private:
  DType dtype_;
};

}  // namespace

std::shared_ptr<const KvCodec> MakeElementwiseCodec(DType dtype) {
  return std::make_shared<ElementwiseCodec>(dtype);
}

}  // namespace unswift
