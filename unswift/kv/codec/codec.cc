#include "unswift/kv/codec/codec.h"

#include "unswift/base/registry.h"

namespace unswift {

Result<std::shared_ptr<const KvCodec>> MakeKvCodec(std::string_view name) {
  using Maker = std::shared_ptr<const KvCodec> (*)();
  static const Registry<Maker> kCodecs(
      "kv codec", {{"f32", [] { return MakeElementwiseCodec(DType::kF32); }},
                   {"f16", [] { return MakeElementwiseCodec(DType::kF16); }},
                   {"bf16", [] { return MakeElementwiseCodec(DType::kBF16); }}});
  UNSWIFT_ASSIGN_OR_RETURN(const Maker make, kCodecs.Find(name));
  return make();
}

}  // namespace unswift
