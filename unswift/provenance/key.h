// Key pairs, as PEM files that openssl and Python's cryptography read, too.
//
// Signing keys are on NIST curves, because model_signing takes no other (1.1.1 refuses Ed25519);
// sealing keys are X25519. The private half (KEY) is a PKCS#8 file of mode 0600, the public half
// (KEY.pub) a SubjectPublicKeyInfo file.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "unswift/base/result.h"

struct evp_pkey_st;  // OpenSSL's EVP_PKEY

namespace unswift {

enum class KeyType {
  kSigning,  ///< ECDSA; made on P-256, read on P-256, P-384 and P-521
  kSealing,  ///< X25519
};

struct KeyDeleter {
  void operator()(evp_pkey_st* key) const;
};
using KeyHandle = std::unique_ptr<evp_pkey_st, KeyDeleter>;

class PublicKey {
 public:
  /// Errors: kNotFound, kIo, kInvalidData (no public key in PEM, or of another type), naming the
  /// file.
  static Result<PublicKey> Read(const std::filesystem::path& path, KeyType type);
  explicit PublicKey(KeyHandle key);

  evp_pkey_st* handle() const { return key_.get(); }
  /// The file's text.
  const std::string& pem() const { return pem_; }
  /// SHA-256 of pem() in hex: the hint of a sigstore bundle as model_signing writes it.
  const std::string& id() const { return id_; }

 private:
  KeyHandle key_;
  std::string pem_, id_;
};

class PrivateKey {
 public:
  static Result<PrivateKey> Generate(KeyType type);
  /// Errors: as PublicKey::Read, and kInvalidData when others than its owner may read the file, or
  /// when it is encrypted.
  static Result<PrivateKey> Read(const std::filesystem::path& path, KeyType type);

  evp_pkey_st* handle() const { return public_key_.handle(); }
  /// A public key that shares this one's handle.
  const PublicKey& public_key() const { return public_key_; }

 private:
  explicit PrivateKey(KeyHandle key) : public_key_(std::move(key)) {}
  PublicKey public_key_;
};

/// Writes `path` (mode 0600) and `path`.pub. Errors: kAlreadyExists when either is there and
/// !replace; kIo.
Result<> WriteKeyPair(const PrivateKey& key, const std::filesystem::path& path, bool replace);

}  // namespace unswift
