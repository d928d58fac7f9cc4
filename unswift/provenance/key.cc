#include "unswift/provenance/key.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>

#include "unswift/base/atomic_directory.h"
#include "unswift/base/check.h"
#include "unswift/base/digest.h"
#include "unswift/base/mapped_file.h"
#include "unswift/provenance/encoding.h"
#include "unswift/provenance/secret_memory.h"

namespace unswift {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxKeyBytes = size_t{64} << 10;

struct BioDeleter {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using BioHandle = std::unique_ptr<BIO, BioDeleter>;

/// Private keys lie in OpenSSL's own locked heap from the first one on.
void UseSecureHeap() {
  static std::once_flag once;
  std::call_once(once, [] { CRYPTO_secure_malloc_init(size_t{1} << 17, /*minsize=*/32); });
}

/// Without this OpenSSL would ask for a passphrase at the terminal.
int NoPassphrase(char*, int, int, void*) { return -1; }

std::string_view TextOf(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<size_t>(size)};
}

bool HasType(EVP_PKEY* key, KeyType type) {
  if (type == KeyType::kSealing) return EVP_PKEY_get_id(key) == EVP_PKEY_X25519;
  char curve[64] = "";
  size_t size = 0;
  if (EVP_PKEY_get_id(key) != EVP_PKEY_EC ||
      EVP_PKEY_get_group_name(key, curve, sizeof(curve), &size) != 1) {
    return false;
  }
  const std::string_view name(curve);
  return name == "prime256v1" || name == "secp384r1" || name == "secp521r1";
}

Result<KeyHandle> CheckKey(EVP_PKEY* parsed, const fs::path& path, KeyType type,
                           std::string_view half) {
  KeyHandle key(parsed);
  ERR_clear_error();
  if (key == nullptr) {
    return MakeError(ErrorCode::kInvalidData,
                     "[read_key] {}: expected an unencrypted {} key in PEM, got something else",
                     path.string(), half);
  }
  if (!HasType(key.get(), type)) {
    const char* got = EVP_PKEY_get0_type_name(key.get());
    return MakeError(
        ErrorCode::kInvalidData, "[read_key] {}: expected a {} key, got {}", path.string(),
        type == KeyType::kSigning ? "signing (ECDSA on a NIST curve)" : "sealing (X25519)",
        got == nullptr ? "an unknown type" : got);
  }
  return key;
}

struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

/// Reads a private key's file into memory that is locked and wiped.
Result<SecretMemory> ReadPrivateFile(const fs::path& path) {
  const Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  struct stat info;
  if (file.fd < 0 || fstat(file.fd, &info) != 0) {
    const ErrorCode code = errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo;
    return MakeError(code, "[read_key] {}: {}", path.string(), std::strerror(errno));
  }
  if (!S_ISREG(info.st_mode) || info.st_size == 0 || info.st_size > kMaxKeyBytes) {
    return MakeError(ErrorCode::kInvalidData, "[read_key] {}: expected a private key's file",
                     path.string());
  }
  if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return MakeError(ErrorCode::kInvalidData,
                     "[read_key] {}: expected a private key that only its owner may read (chmod "
                     "600), got mode {:o}",
                     path.string(), info.st_mode & 07777);
  }
  UNSWIFT_ASSIGN_OR_RETURN(SecretMemory text, SecretMemory::Allocate(info.st_size));
  if (read(file.fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return MakeError(ErrorCode::kIo, "[read_key] {}: could not be read", path.string());
  }
  return text;
}

Result<> CheckAbsent(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(fs::symlink_status(path, ignored))) return {};
  return MakeError(ErrorCode::kAlreadyExists,
                   "[write_key] {}: exists already, and a lost key cannot be had back (--force "
                   "replaces it)",
                   path.string());
}

}  // namespace

void KeyDeleter::operator()(evp_pkey_st* key) const { EVP_PKEY_free(key); }

PublicKey::PublicKey(KeyHandle key) : key_(std::move(key)) {
  const BioHandle bio(BIO_new(BIO_s_mem()));
  UNSWIFT_CHECK(PEM_write_bio_PUBKEY(bio.get(), key_.get()) == 1);
  pem_ = TextOf(bio.get());
  id_ = Sha256Hex(AsBytes(pem_));
}

Result<PublicKey> PublicKey::Read(const fs::path& path, KeyType type) {
  UNSWIFT_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxKeyBytes));
  const BioHandle bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  UNSWIFT_ASSIGN_OR_RETURN(
      KeyHandle key, CheckKey(PEM_read_bio_PUBKEY(bio.get(), nullptr, NoPassphrase, nullptr), path,
                              type, "public"));
  return PublicKey(std::move(key));
}

Result<PrivateKey> PrivateKey::Generate(KeyType type) {
  UseSecureHeap();
  KeyHandle key(type == KeyType::kSigning ? EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")
                                          : EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519"));
  if (key == nullptr) return MakeError(ErrorCode::kIo, "[generate_key] no random numbers");
  return PrivateKey(std::move(key));
}

Result<PrivateKey> PrivateKey::Read(const fs::path& path, KeyType type) {
  UseSecureHeap();
  UNSWIFT_ASSIGN_OR_RETURN(const SecretMemory text, ReadPrivateFile(path));
  const BioHandle bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  UNSWIFT_ASSIGN_OR_RETURN(
      KeyHandle key, CheckKey(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr),
                              path, type, "private"));
  return PrivateKey(std::move(key));
}

Result<> WriteKeyPair(const PrivateKey& key, const fs::path& path, bool replace) {
  const fs::path public_path = path.string() + ".pub";
  if (!replace) {
    UNSWIFT_RETURN_IF_ERROR(CheckAbsent(path));
    UNSWIFT_RETURN_IF_ERROR(CheckAbsent(public_path));
  }
  const BioHandle bio(BIO_new(BIO_s_secmem()));
  UNSWIFT_CHECK(PEM_write_bio_PKCS8PrivateKey(bio.get(), key.handle(), /*enc=*/nullptr, nullptr, 0,
                                              nullptr, nullptr) == 1);
  UNSWIFT_RETURN_IF_ERROR(WriteAside(path, replace, [&](const fs::path& partial) {
    return WritePrivateFile(partial, TextOf(bio.get()));
  }));
  return WriteFileAtomically(public_path, key.public_key().pem(), replace);
}

}  // namespace unswift
