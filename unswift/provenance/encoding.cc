#include "unswift/provenance/encoding.h"

#include <sodium.h>

#include "unswift/base/check.h"

namespace unswift {

std::string Base64(std::span<const std::byte> bytes) {
  std::string text(sodium_base64_ENCODED_LEN(bytes.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
  sodium_bin2base64(text.data(), text.size(), reinterpret_cast<const unsigned char*>(bytes.data()),
                    bytes.size(), sodium_base64_VARIANT_ORIGINAL);
  text.pop_back();  // the terminating zero
  return text;
}

std::optional<std::string> FromBase64(std::string_view text) {
  std::string bytes(text.size() / 4 * 3, '\0');
  size_t size = 0;
  const char* end = nullptr;
  if (sodium_base642bin(reinterpret_cast<unsigned char*>(bytes.data()), bytes.size(), text.data(),
                        text.size(), /*ignore=*/nullptr, &size, &end,
                        sodium_base64_VARIANT_ORIGINAL) != 0 ||
      end != text.data() + text.size()) {
    return std::nullopt;
  }
  bytes.resize(size);
  return bytes;
}

bool IsSha256Hex(std::string_view hex) {
  return hex.size() == 64 && hex.find_first_not_of("0123456789abcdef") == hex.npos;
}

std::string BytesOfSha256Hex(std::string_view hex) {
  UNSWIFT_CHECK(IsSha256Hex(hex));
  std::string bytes(crypto_hash_sha256_BYTES, '\0');
  size_t size = 0;
  UNSWIFT_CHECK(sodium_hex2bin(reinterpret_cast<unsigned char*>(bytes.data()), bytes.size(),
                               hex.data(), hex.size(), /*ignore=*/nullptr, &size,
                               /*hex_end=*/nullptr) == 0);
  return bytes;
}

}  // namespace unswift
