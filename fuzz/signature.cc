// A model's signature: the bundle against a key that made one of the seeds, and the input as the
// statement inside one; the files of what is accepted, stated and read again.
#include "unswift/provenance/signature_bundle.h"

#include "fuzz/input.h"
#include "unswift/provenance/statement.h"

using namespace unswift;

namespace {

// tests/provenance/golden/model_signing.pub
constexpr std::string_view kSigner =
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEHQeJpsnZwfaGg0/hyIZtTRfzOpOa\n"
    "Jmr0uX+3dyBlxiFo4si1w/oTgSkQ41oaGX9RFTY40EOxV68Ou0NnhVu96Q==\n"
    "-----END PUBLIC KEY-----\n";

const PublicKey& Signer() {
  static const PublicKey signer = [] {
    const MemoryFile file(reinterpret_cast<const uint8_t*>(kSigner.data()), kSigner.size());
    return PublicKey::Read(file.path(), KeyType::kSigning).value();
  }();
  return signer;
}

void TryStatement(std::string_view statement) {
  const auto files = ReadStatement(statement, "fuzz");
  if (!files) return;
  const auto again = ReadStatement(MakeStatement("fuzz", *files), "fuzz");
  UNSWIFT_CHECK(again && *again == *files);
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = AsText(data, size);
  const Result<std::string> payload = VerifyBundle(text, "fuzz", Signer());
  TryStatement(payload ? *payload : text);
  return 0;
}
