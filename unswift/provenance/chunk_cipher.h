// Authenticated encryption of the chunks of a sealed file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "unswift/base/result.h"
#include "unswift/provenance/secret_memory.h"

namespace unswift {

enum class SealCipher {
  kAes256Gcm,          ///< OpenSSL; the faster one where the CPU has AES
  kXChaCha20Poly1305,  ///< libsodium; for CPUs without
};

inline constexpr size_t kSealKeyBytes = 32;
inline constexpr size_t kSealTagBytes = 16;

/// "aes-256-gcm", "xchacha20-poly1305". Errors: kUnsupported naming what exists.
Result<SealCipher> ParseSealCipher(std::string_view name);
std::string_view SealCipherName(SealCipher cipher);
/// The faster one on this CPU.
SealCipher FastestSealCipher();

/// The cipher of one file. Its key belongs to that file alone, so a chunk's index is its nonce
/// (little-endian, zero beyond 8 bytes). Associated data: the header's SHA-256, then the index.
/// Immutable; may be shared by threads.
class ChunkCipher {
 public:
  /// key: kSealKeyBytes; header_digest: 32 bytes.
  ChunkCipher(SealCipher cipher, SecretMemory key, std::string header_digest);

  /// Writes plain.size() + kSealTagBytes bytes.
  void Encrypt(uint64_t index, std::span<const std::byte> plain, std::byte* sealed) const;
  /// Writes sealed.size() - kSealTagBytes bytes. False when the chunk is not the one that was
  /// sealed here; what was written is then zeroed.
  [[nodiscard]] bool Decrypt(uint64_t index, std::span<const std::byte> sealed,
                             std::byte* plain) const;

 private:
  std::string AssociatedData(uint64_t index) const;

  SealCipher cipher_;
  SecretMemory key_;
  std::string header_digest_;
};

}  // namespace unswift
