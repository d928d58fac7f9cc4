#include "unswift/provenance/sealed_header.h"

#include <openssl/evp.h>
#include <sodium.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "unswift/base/check.h"
#include "unswift/base/digest.h"
#include "unswift/io/json.h"
#include "unswift/provenance/encoding.h"

namespace unswift {
namespace {

constexpr char kFormatName[] = "unswift-sealed";
constexpr size_t kMagicBytes = sizeof(kSealedMagic) - 1;
constexpr size_t kLengthBytes = 4;
constexpr JsonLimits kHeaderLimits = {.max_bytes = size_t{1} << 20, .max_depth = 4};
constexpr uint64_t kMaxPayloadBytes = uint64_t{1} << 48;
constexpr size_t kWrappedBytes = kSealKeyBytes + crypto_box_SEALBYTES;

auto Invalid(const std::string& what, std::string_view why) {
  return MakeError(ErrorCode::kInvalidData, "[open_sealed] {}: {}", what, why);
}

Result<uint64_t> SizeField(const Json& json, const char* key, uint64_t low, uint64_t high,
                           const std::string& what) {
  UNSWIFT_ASSIGN_OR_RETURN(const int64_t value, GetField<int64_t>(json, key, what));
  if (value >= 0 && static_cast<uint64_t>(value) >= low && static_cast<uint64_t>(value) <= high) {
    return static_cast<uint64_t>(value);
  }
  return Invalid(what, fmt::format("{}: expected {} to {}, got {}", key, low, high, value));
}

Result<SealedRecipient> ReadRecipient(const Json& json, const std::string& what) {
  SealedRecipient recipient;
  UNSWIFT_ASSIGN_OR_RETURN(recipient.key_id, GetField<std::string>(json, "key_id", what));
  UNSWIFT_ASSIGN_OR_RETURN(const auto wrapped, GetField<std::string>(json, "wrapped_key", what));
  const std::optional<std::string> bytes = FromBase64(wrapped);
  if (!IsSha256Hex(recipient.key_id) || !bytes || bytes->size() != kWrappedBytes) {
    return Invalid(
        what, fmt::format("recipients: expected a key id and {} bytes in base64", kWrappedBytes));
  }
  recipient.wrapped_key = *bytes;
  return recipient;
}

Result<SealedHeader> ReadHeaderJson(const Json& json, const std::string& what) {
  UNSWIFT_RETURN_IF_ERROR(ExpectField(json, "format", kFormatName, what));
  UNSWIFT_ASSIGN_OR_RETURN(const int64_t version, GetField<int64_t>(json, "format_version", what));
  if (version != kSealedVersion) {
    return MakeError(ErrorCode::kUnsupported, "[open_sealed] {}: expected version {}, got {}", what,
                     kSealedVersion, version);
  }
  SealedHeader header;
  UNSWIFT_ASSIGN_OR_RETURN(const auto cipher, GetField<std::string>(json, "cipher", what));
  UNSWIFT_ASSIGN_OR_RETURN(header.cipher, ParseSealCipher(cipher));
  UNSWIFT_ASSIGN_OR_RETURN(header.chunk_bytes,
                           SizeField(json, "chunk_bytes", kMinChunkBytes, kMaxChunkBytes, what));
  if (!std::has_single_bit(header.chunk_bytes)) {
    return Invalid(what,
                   fmt::format("chunk_bytes: expected a power of two, got {}", header.chunk_bytes));
  }
  UNSWIFT_ASSIGN_OR_RETURN(header.payload_bytes,
                           SizeField(json, "payload_bytes", 1, kMaxPayloadBytes, what));
  const auto recipients = json.find("recipients");
  if (recipients == json.end() || !recipients->is_array() || recipients->empty()) {
    return Invalid(what, "expected a list 'recipients'");
  }
  for (const Json& entry : *recipients) {
    UNSWIFT_ASSIGN_OR_RETURN(SealedRecipient recipient, ReadRecipient(entry, what));
    header.recipients.push_back(std::move(recipient));
  }
  return header;
}

/// The 32 bytes of an X25519 key, through one of OpenSSL's two getters.
template <typename Get>
void RawKey(Get get, const PublicKey& key, std::byte* raw) {
  size_t size = kSealKeyBytes;
  UNSWIFT_CHECK(get(key.handle(), reinterpret_cast<unsigned char*>(raw), &size) == 1 &&
                size == kSealKeyBytes);
}

}  // namespace

uint64_t SealedHeader::num_chunks() const {
  return (payload_bytes + chunk_bytes - 1) / chunk_bytes;
}

uint64_t SealedHeader::chunk_end(uint64_t chunk) const {
  return std::min(payload_bytes, (chunk + 1) * chunk_bytes);
}

std::string EncodeHeader(const SealedHeader& header) {
  Json recipients = Json::array();
  for (const SealedRecipient& recipient : header.recipients) {
    recipients.push_back(
        {{"key_id", recipient.key_id}, {"wrapped_key", Base64(AsBytes(recipient.wrapped_key))}});
  }
  const Json json = {{"format", kFormatName},
                     {"format_version", kSealedVersion},
                     {"cipher", SealCipherName(header.cipher)},
                     {"chunk_bytes", header.chunk_bytes},
                     {"payload_bytes", header.payload_bytes},
                     {"recipients", std::move(recipients)}};
  const std::string text = json.dump();
  UNSWIFT_CHECK(text.size() <= kHeaderLimits.max_bytes);
  std::string bytes(kSealedMagic, kMagicBytes);
  for (size_t i = 0; i < kLengthBytes; ++i) {
    bytes += static_cast<char>(text.size() >> (8 * i) & 0xff);
  }
  return bytes + text;
}

bool IsSealed(std::span<const std::byte> file) {
  return file.size() >= kMagicBytes && std::memcmp(file.data(), kSealedMagic, kMagicBytes) == 0;
}

Result<StoredHeader> DecodeHeader(std::span<const std::byte> file, const std::string& what) {
  if (!IsSealed(file) || file.size() < kMagicBytes + kLengthBytes) {
    return Invalid(what, "expected a sealed file");
  }
  uint64_t length = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) {
    length |= std::to_integer<uint64_t>(file[kMagicBytes + i]) << (8 * i);
  }
  StoredHeader stored;
  stored.bytes = kMagicBytes + kLengthBytes + length;
  if (length > kHeaderLimits.max_bytes || stored.bytes > file.size()) {
    return Invalid(
        what, fmt::format("expected a header of {} bytes, got {} in all", length, file.size()));
  }
  const std::string_view text(
      reinterpret_cast<const char*>(file.data()) + kMagicBytes + kLengthBytes, length);
  UNSWIFT_ASSIGN_OR_RETURN(const Json json, ParseJson(text, what, kHeaderLimits));
  UNSWIFT_ASSIGN_OR_RETURN(stored.header, ReadHeaderJson(json, what));
  const uint64_t expected =
      stored.bytes + stored.header.payload_bytes + stored.header.num_chunks() * kSealTagBytes;
  if (file.size() != expected) {
    return Invalid(what, fmt::format("expected {} bytes, got {}", expected, file.size()));
  }
  stored.digest = BytesOfSha256Hex(Sha256Hex(file.first(stored.bytes)));
  return stored;
}

Result<SealedRecipient> WrapKey(const SecretMemory& file_key, const PublicKey& recipient) {
  UNSWIFT_CHECK(sodium_init() >= 0);
  std::byte to[kSealKeyBytes];
  RawKey(EVP_PKEY_get_raw_public_key, recipient, to);
  SealedRecipient wrapped{recipient.id(), std::string(kWrappedBytes, '\0')};
  if (crypto_box_seal(reinterpret_cast<unsigned char*>(wrapped.wrapped_key.data()),
                      reinterpret_cast<const unsigned char*>(file_key.data()), file_key.size(),
                      reinterpret_cast<const unsigned char*>(to)) != 0) {
    return MakeError(ErrorCode::kInvalidData, "[seal] key {}: no usable X25519 key",
                     recipient.id());
  }
  return wrapped;
}

Result<SecretMemory> UnwrapKey(const SealedHeader& header, const PrivateKey& key,
                               const std::string& what) {
  UNSWIFT_CHECK(sodium_init() >= 0);
  const PublicKey& own = key.public_key();
  std::byte public_raw[kSealKeyBytes];
  RawKey(EVP_PKEY_get_raw_public_key, own, public_raw);
  UNSWIFT_ASSIGN_OR_RETURN(const SecretMemory private_raw, SecretMemory::Allocate(kSealKeyBytes));
  RawKey(EVP_PKEY_get_raw_private_key, own, private_raw.data());
  UNSWIFT_ASSIGN_OR_RETURN(SecretMemory file_key, SecretMemory::Allocate(kSealKeyBytes));
  std::string others;
  for (const SealedRecipient& recipient : header.recipients) {
    others += (others.empty() ? "" : ", ") + recipient.key_id;
    if (recipient.key_id != own.id()) continue;
    if (crypto_box_seal_open(reinterpret_cast<unsigned char*>(file_key.data()),
                             reinterpret_cast<const unsigned char*>(recipient.wrapped_key.data()),
                             recipient.wrapped_key.size(),
                             reinterpret_cast<const unsigned char*>(public_raw),
                             reinterpret_cast<const unsigned char*>(private_raw.data())) == 0) {
      return file_key;
    }
    return Invalid(what, "the wrapped key of this recipient was changed or damaged");
  }
  return MakeError(ErrorCode::kInvalidArgument,
                   "[open_sealed] {}: expected the private half of key {}, got that of key {}",
                   what, others, own.id());
}

}  // namespace unswift
