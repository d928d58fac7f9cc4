// A key's file, as each half of both types.
#include "unswift/provenance/key.h"

#include "fuzz/input.h"

using namespace unswift;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const MemoryFile file(data, size);
  for (const KeyType type : {KeyType::kSigning, KeyType::kSealing}) {
    const Result<PublicKey> half = PublicKey::Read(file.path(), type);
    if (half) {
      // What is printed of a key must read as the same key.
      const std::string& pem = half->pem();
      const MemoryFile copy(reinterpret_cast<const uint8_t*>(pem.data()), pem.size());
      const Result<PublicKey> again = PublicKey::Read(copy.path(), type);
      UNSWIFT_CHECK(again && again->id() == half->id());
    }
    (void)PrivateKey::Read(file.path(), type);
  }
  return 0;
}
