// The head of a sealed file: who may open it, and how long it is. The format is written up in
// docs/sealed_format.md.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "unswift/base/result.h"
#include "unswift/provenance/chunk_cipher.h"
#include "unswift/provenance/key.h"

namespace unswift {

inline constexpr char kSealedMagic[] = "unswift sealed\n\x1a";  // 16 bytes
inline constexpr int kSealedVersion = 1;
inline constexpr uint64_t kMinChunkBytes = 64, kMaxChunkBytes = uint64_t{16} << 20;
/// Files start at multiples of it in the payload, so that tensors in memory lie as in mapped files.
inline constexpr uint64_t kSealedAlignment = 64;

struct SealedRecipient {
  std::string key_id;
  std::string wrapped_key;  ///< the file's key in a libsodium sealed box (80 bytes)
};

struct SealedHeader {
  SealCipher cipher = SealCipher::kAes256Gcm;
  uint64_t chunk_bytes = uint64_t{1} << 20;  ///< plaintext of each chunk but the last
  uint64_t payload_bytes = 0;                ///< plaintext of all chunks
  std::vector<SealedRecipient> recipients;

  uint64_t num_chunks() const;
  /// Where a chunk's plaintext lies in the payload.
  uint64_t chunk_begin(uint64_t chunk) const { return chunk * chunk_bytes; }
  uint64_t chunk_end(uint64_t chunk) const;
};

/// A header as a file has it.
struct StoredHeader {
  SealedHeader header;
  uint64_t bytes = 0;  ///< of the file before the first chunk
  std::string digest;  ///< SHA-256 of them, 32 bytes
};

/// Everything before the first chunk.
std::string EncodeHeader(const SealedHeader& header);

/// Whether a file of outside origin claims to be a sealed one.
bool IsSealed(std::span<const std::byte> file);

/// Checks everything that needs no key, the file's length with it. Errors: kInvalidData,
/// kUnsupported (a newer version, another cipher), naming `what`.
Result<StoredHeader> DecodeHeader(std::span<const std::byte> file, const std::string& what);

/// The file's key for one recipient.
Result<SealedRecipient> WrapKey(const SecretMemory& file_key, const PublicKey& recipient);

/// Errors: kInvalidArgument when the file is not sealed to this key, naming whom it is sealed to.
Result<SecretMemory> UnwrapKey(const SealedHeader& header, const PrivateKey& key,
                               const std::string& what);

}  // namespace unswift
