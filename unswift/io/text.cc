#include "unswift/io/text.h"

#include <cstdint>

namespace unswift {
namespace {

constexpr size_t kMaxShown = 80;

bool IsContinuation(char c) { return (static_cast<uint8_t>(c) & 0xc0u) == 0x80u; }

/// Smallest code point that a character of the given length may encode.
constexpr uint32_t kLeast[5] = {0, 0, 0x80, 0x800, 0x10000};

}  // namespace

size_t Utf8CharLength(std::string_view text) {
  if (text.empty()) return 0;
  const uint8_t lead = static_cast<uint8_t>(text[0]);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc0 || lead > 0xf7 || text.size() < length) return 0;
  uint32_t code = lead & (0x7fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if (!IsContinuation(text[i])) return 0;
    code = code << 6 | (static_cast<uint8_t>(text[i]) & 0x3fu);
  }
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  return code < kLeast[length] || surrogate || code > 0x10ffff ? 0 : length;
}

bool IsValidUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = Utf8CharLength(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string Printable(std::string_view text, size_t max_bytes) {
  std::string shown;
  while (!text.empty()) {
    if (shown.size() >= max_bytes) return shown + "...";
    const size_t length = Utf8CharLength(text);
    const std::string_view character = text.substr(0, length);
    // Terminals obey the control characters below U+0020 and of U+0080 to U+009F.
    const bool control = length == 1   ? text[0] < ' ' || text[0] == '\x7f'
                         : length == 2 ? character < "\xc2\xa0"
                                       : length == 0;
    shown += control ? std::string_view("?") : character;
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return shown;
}

std::string Shorten(std::string_view text) { return Printable(text, kMaxShown); }

}  // namespace unswift
