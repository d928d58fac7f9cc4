#include "unswift/kv/kv_cache.h"

#include "unswift/base/registry.h"

namespace unswift {

Result<std::unique_ptr<KvCache>> MakeKvCache(const KvShape& shape, std::string_view policy,
                                             std::string_view codec) {
  using Maker = std::unique_ptr<KvCache> (*)(const KvShape&, std::shared_ptr<const KvCodec>);
  static const Registry<Maker> kPolicies("kv policy", {{"full", &MakeFullCache}});
  UNSWIFT_ASSIGN_OR_RETURN(const Maker make, kPolicies.Find(policy));
  UNSWIFT_ASSIGN_OR_RETURN(auto made_codec, MakeKvCodec(codec));
  return make(shape, std::move(made_codec));
}

}  // namespace unswift
