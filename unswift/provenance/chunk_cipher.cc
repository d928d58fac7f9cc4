#include "unswift/provenance/chunk_cipher.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <sodium.h>

#include <array>
#include <cstring>
#include <memory>

#include "unswift/base/check.h"
#include "unswift/base/registry.h"

namespace unswift {
namespace {

constexpr size_t kAesNonceBytes = 12;
constexpr size_t kXChaChaNonceBytes = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
static_assert(crypto_aead_xchacha20poly1305_ietf_KEYBYTES == kSealKeyBytes);
static_assert(crypto_aead_xchacha20poly1305_ietf_ABYTES == kSealTagBytes);

const Registry<SealCipher>& Ciphers() {
  static const Registry<SealCipher> rows("cipher",
                                         {{"aes-256-gcm", SealCipher::kAes256Gcm},
                                          {"xchacha20-poly1305", SealCipher::kXChaCha20Poly1305}});
  return rows;
}

/// Little-endian.
void StoreIndex(uint64_t index, unsigned char* out) {
  for (int i = 0; i < 8; ++i) out[i] = static_cast<unsigned char>(index >> (8 * i));
}

template <size_t kBytes>
std::array<unsigned char, kBytes> NonceOf(uint64_t index) {
  std::array<unsigned char, kBytes> nonce{};
  StoreIndex(index, nonce.data());
  return nonce;
}

const unsigned char* In(const std::byte* bytes) {
  return reinterpret_cast<const unsigned char*>(bytes);
}
unsigned char* Out(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }
const unsigned char* In(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

struct ContextDeleter {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using ContextHandle = std::unique_ptr<EVP_CIPHER_CTX, ContextDeleter>;

void AesEncrypt(const SecretMemory& key, uint64_t index, std::string_view associated,
                std::span<const std::byte> plain, std::byte* sealed) {
  const auto nonce = NonceOf<kAesNonceBytes>(index);
  const ContextHandle context(EVP_CIPHER_CTX_new());
  int size = 0;
  UNSWIFT_CHECK(EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, In(key.data()),
                                   nonce.data()) == 1);
  UNSWIFT_CHECK(EVP_EncryptUpdate(context.get(), nullptr, &size, In(associated),
                                  static_cast<int>(associated.size())) == 1);
  UNSWIFT_CHECK(EVP_EncryptUpdate(context.get(), Out(sealed), &size, In(plain.data()),
                                  static_cast<int>(plain.size())) == 1);
  UNSWIFT_CHECK(EVP_EncryptFinal_ex(context.get(), Out(sealed) + size, &size) == 1);
  UNSWIFT_CHECK(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, kSealTagBytes,
                                    sealed + plain.size()) == 1);
}

bool AesDecrypt(const SecretMemory& key, uint64_t index, std::string_view associated,
                std::span<const std::byte> sealed, std::span<std::byte> plain) {
  const auto nonce = NonceOf<kAesNonceBytes>(index);
  const ContextHandle context(EVP_CIPHER_CTX_new());
  std::array<unsigned char, kSealTagBytes> tag;
  std::memcpy(tag.data(), sealed.data() + plain.size(), tag.size());
  int size = 0;
  UNSWIFT_CHECK(EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, In(key.data()),
                                   nonce.data()) == 1);
  UNSWIFT_CHECK(
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, kSealTagBytes, tag.data()) == 1);
  UNSWIFT_CHECK(EVP_DecryptUpdate(context.get(), nullptr, &size, In(associated),
                                  static_cast<int>(associated.size())) == 1);
  UNSWIFT_CHECK(EVP_DecryptUpdate(context.get(), Out(plain.data()), &size, In(sealed.data()),
                                  static_cast<int>(plain.size())) == 1);
  const bool authentic = EVP_DecryptFinal_ex(context.get(), Out(plain.data()) + size, &size) == 1;
  ERR_clear_error();
  return authentic;
}

}  // namespace

Result<SealCipher> ParseSealCipher(std::string_view name) { return Ciphers().Find(name); }
std::string_view SealCipherName(SealCipher cipher) { return Ciphers().NameOf(cipher); }

SealCipher FastestSealCipher() {
  UNSWIFT_CHECK(sodium_init() >= 0);
  return crypto_aead_aes256gcm_is_available() == 1 ? SealCipher::kAes256Gcm
                                                   : SealCipher::kXChaCha20Poly1305;
}

ChunkCipher::ChunkCipher(SealCipher cipher, SecretMemory key, std::string header_digest)
    : cipher_(cipher), key_(std::move(key)), header_digest_(std::move(header_digest)) {
  UNSWIFT_CHECK(sodium_init() >= 0);
  UNSWIFT_CHECK(key_.size() == kSealKeyBytes && header_digest_.size() == 32);
}

std::string ChunkCipher::AssociatedData(uint64_t index) const {
  unsigned char bytes[8];
  StoreIndex(index, bytes);
  return header_digest_ + std::string(reinterpret_cast<const char*>(bytes), sizeof(bytes));
}

void ChunkCipher::Encrypt(uint64_t index, std::span<const std::byte> plain,
                          std::byte* sealed) const {
  const std::string associated = AssociatedData(index);
  if (cipher_ == SealCipher::kAes256Gcm) {
    AesEncrypt(key_, index, associated, plain, sealed);
    return;
  }
  crypto_aead_xchacha20poly1305_ietf_encrypt(
      Out(sealed), /*clen_p=*/nullptr, In(plain.data()), plain.size(), In(associated),
      associated.size(), /*nsec=*/nullptr, NonceOf<kXChaChaNonceBytes>(index).data(),
      In(key_.data()));
}

bool ChunkCipher::Decrypt(uint64_t index, std::span<const std::byte> sealed,
                          std::byte* plain) const {
  if (sealed.size() < kSealTagBytes) return false;
  const std::span<std::byte> target(plain, sealed.size() - kSealTagBytes);
  const std::string associated = AssociatedData(index);
  bool authentic;
  if (cipher_ == SealCipher::kAes256Gcm) {
    authentic = AesDecrypt(key_, index, associated, sealed, target);
  } else {
    authentic = crypto_aead_xchacha20poly1305_ietf_decrypt(
                    Out(plain), /*mlen_p=*/nullptr, /*nsec=*/nullptr, In(sealed.data()),
                    sealed.size(), In(associated), associated.size(),
                    NonceOf<kXChaChaNonceBytes>(index).data(), In(key_.data())) == 0;
  }
  if (!authentic) sodium_memzero(target.data(), target.size());
  return authentic;
}

}  // namespace unswift
