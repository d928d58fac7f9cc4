#include "unswift/kv/codec/codec.h"

#include "unswift/base/registry.h"

namespace unswift {

Result<std::shared_ptr<const KvCodec>> MakeKvCodec(std::string_view name) {
  using Maker = std::shared_ptr<const KvCodec> (*)();
  static const Registry<Maker> kCodecs("kv codec", {{"f32", &MakeF32Codec}});
  UNSWIFT_ASSIGN_OR_RETURN(const Maker make, kCodecs.Find(name));
  return make();
}

}  // namespace unswift
