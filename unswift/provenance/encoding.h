// Base64 and hexadecimal, strict in both directions.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace unswift {

/// The bytes of a string.
inline std::span<const std::byte> AsBytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

/// RFC 4648 with padding.
std::string Base64(std::span<const std::byte> bytes);
/// Empty for anything that Base64 would not have written.
std::optional<std::string> FromBase64(std::string_view text);

/// 64 lower-case hex digits.
bool IsSha256Hex(std::string_view hex);
/// The 32 bytes of what IsSha256Hex accepts.
std::string BytesOfSha256Hex(std::string_view hex);

}  // namespace unswift
