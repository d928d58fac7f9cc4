// Text of outside origin: what may go into JSON and into messages.
#pragma once

#include <string>
#include <string_view>

namespace unswift {

/// Length in bytes of the well-formed UTF-8 character at the front of `text`; 0 when there is none
/// (overlong forms, surrogates and values beyond U+10FFFF are not well-formed).
size_t Utf8CharLength(std::string_view text);

bool IsValidUtf8(std::string_view text);

/// For terminals: bytes that are no printable UTF-8 become '?', and what is longer than max_bytes
/// is cut between characters.
std::string Printable(std::string_view text, size_t max_bytes = std::string_view::npos);

/// Printable for error messages: at most about 80 bytes.
std::string Shorten(std::string_view text);

}  // namespace unswift
