#include "unswift/provenance/signature_bundle.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include <memory>

#include "unswift/base/check.h"
#include "unswift/io/json.h"
#include "unswift/io/text.h"
#include "unswift/provenance/encoding.h"

namespace unswift {
namespace {

constexpr char kMediaType[] = "application/vnd.dev.sigstore.bundle.v0.3+json";
constexpr JsonLimits kBundleLimits = {.max_bytes = size_t{64} << 20, .max_depth = 16};

struct ContextDeleter {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using ContextHandle = std::unique_ptr<EVP_MD_CTX, ContextDeleter>;

/// DSSE's pre-authentication encoding: what is signed in place of the bare payload.
std::string Pae(std::string_view payload) {
  return fmt::format("DSSEv1 {} {} {} {}", sizeof(kInTotoPayloadType) - 1, kInTotoPayloadType,
                     payload.size(), payload);
}

const EVP_MD* DigestOf(const PublicKey& key) {
  const int bits = EVP_PKEY_get_bits(key.handle());
  return bits <= 256 ? EVP_sha256() : bits <= 384 ? EVP_sha384() : EVP_sha512();
}

const unsigned char* Data(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

bool IsSignatureOf(std::string_view signature, std::string_view message, const PublicKey& key) {
  const ContextHandle context(EVP_MD_CTX_new());
  UNSWIFT_CHECK(
      EVP_DigestVerifyInit(context.get(), nullptr, DigestOf(key), nullptr, key.handle()) == 1);
  const int status = EVP_DigestVerify(context.get(), Data(signature), signature.size(),
                                      Data(message), message.size());
  ERR_clear_error();
  return status == 1;
}

auto Invalid(const std::string& what, std::string_view why) {
  return MakeError(ErrorCode::kInvalidData, "[verify_signature] {}: {}", what, why);
}

/// A child that must be an object (or an array with exactly one).
Result<const Json*> Child(const Json& parent, const char* key, const std::string& what) {
  const auto found = parent.is_object() ? parent.find(key) : parent.end();
  if (found != parent.end() && found->is_object()) return &*found;
  if (found != parent.end() && found->is_array() && found->size() == 1 &&
      found->front().is_object()) {
    return &found->front();
  }
  return Invalid(what, fmt::format("expected an object '{}' of a sigstore bundle", key));
}

Result<std::string> Base64Field(const Json& parent, const char* key, const std::string& what) {
  UNSWIFT_ASSIGN_OR_RETURN(const auto text, GetField<std::string>(parent, key, what));
  std::optional<std::string> bytes = FromBase64(text);
  if (!bytes) return Invalid(what, fmt::format("'{}': expected base64", key));
  return *std::move(bytes);
}

}  // namespace

Result<std::string> SignPayload(std::string_view payload, const PrivateKey& key) {
  const std::string message = Pae(payload);
  const ContextHandle context(EVP_MD_CTX_new());
  UNSWIFT_CHECK(EVP_DigestSignInit(context.get(), nullptr, DigestOf(key.public_key()), nullptr,
                                   key.handle()) == 1);
  size_t size = 0;
  UNSWIFT_CHECK(EVP_DigestSign(context.get(), nullptr, &size, Data(message), message.size()) == 1);
  std::string signature(size, '\0');
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                     Data(message), message.size()) != 1) {
    ERR_clear_error();
    return MakeError(ErrorCode::kInvalidData, "[sign] the key cannot sign");
  }
  signature.resize(size);
  const Json bundle = {
      {"mediaType", kMediaType},
      {"verificationMaterial",
       {{"publicKey", {{"hint", key.public_key().id()}}}, {"tlogEntries", Json::array()}}},
      {"dsseEnvelope",
       {{"payload", Base64(AsBytes(payload))},
        {"payloadType", kInTotoPayloadType},
        {"signatures", Json::array({{{"sig", Base64(AsBytes(signature))}, {"keyid", ""}}})}}}};
  return bundle.dump();
}

Result<std::string> VerifyBundle(std::string_view text, const std::string& what,
                                 const PublicKey& key) {
  UNSWIFT_ASSIGN_OR_RETURN(const Json bundle, ParseJson(text, what, kBundleLimits));
  UNSWIFT_RETURN_IF_ERROR(ExpectField(bundle, "mediaType", kMediaType, what));
  UNSWIFT_ASSIGN_OR_RETURN(const Json* material, Child(bundle, "verificationMaterial", what));
  UNSWIFT_ASSIGN_OR_RETURN(const Json* signer, Child(*material, "publicKey", what));
  UNSWIFT_ASSIGN_OR_RETURN(const auto hint, GetField<std::string>(*signer, "hint", what));
  if (hint != key.id()) {
    return Invalid(
        what, fmt::format("signed by key {}, expected one by key {}", Shorten(hint), key.id()));
  }
  UNSWIFT_ASSIGN_OR_RETURN(const Json* envelope, Child(bundle, "dsseEnvelope", what));
  UNSWIFT_RETURN_IF_ERROR(ExpectField(*envelope, "payloadType", kInTotoPayloadType, what));
  UNSWIFT_ASSIGN_OR_RETURN(std::string payload, Base64Field(*envelope, "payload", what));
  UNSWIFT_ASSIGN_OR_RETURN(const Json* entry, Child(*envelope, "signatures", what));
  UNSWIFT_ASSIGN_OR_RETURN(const std::string signature, Base64Field(*entry, "sig", what));
  if (!IsSignatureOf(signature, Pae(payload), key)) {
    return Invalid(what, "the signature does not belong to this payload and key");
  }
  return payload;
}

}  // namespace unswift
