// UTF-8: code points, and bytes that arrive one by one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace unswift {

/// Follows a byte sequence by the well-formedness table of the Unicode standard (table 3-7): no
/// overlong forms, no surrogates, nothing above U+10FFFF.
class Utf8Automaton {
 public:
  /// False when `byte` cannot continue what was pushed before; the state is then fresh again, and
  /// the bytes before `byte` since the last complete character are a maximal ill-formed part.
  bool Push(uint8_t byte);
  /// Between two characters.
  bool complete() const { return missing_ == 0; }

 private:
  int missing_ = 0;
  uint8_t low_ = 0x80;  // bounds of the next continuation byte
  uint8_t high_ = 0xBF;
};

/// Turns bytes into UTF-8 text as they come; each maximal ill-formed part becomes one U+FFFD.
class Utf8Repairer {
 public:
  void Push(std::string_view bytes, std::string& out);
  /// The end: an unfinished character becomes U+FFFD.
  void Finish(std::string& out);

 private:
  Utf8Automaton automaton_;
  std::string pending_;
};

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

/// Bytes of the character that starts with `lead`, in valid UTF-8.
inline size_t Utf8Length(char lead) {
  const auto byte = static_cast<uint8_t>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

/// The code point at the start of valid, non-empty UTF-8.
inline char32_t Utf8CodePoint(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<char32_t>(static_cast<uint8_t>(text[i])); };
  const char32_t lead = byte(0);
  if (lead < 0x80) return lead;
  if (lead < 0xE0) return (lead & 0x1F) << 6 | (byte(1) & 0x3F);
  if (lead < 0xF0) return (lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
  return (lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
}

/// Where the last character of valid, non-empty UTF-8 starts.
inline size_t Utf8LastCharacter(std::string_view text) {
  size_t begin = text.size() - 1;
  while (begin > 0 && (static_cast<uint8_t>(text[begin]) & 0xC0) == 0x80) --begin;
  return begin;
}

void AppendUtf8(char32_t code_point, std::string& out);

/// `text` holds exactly one character.
inline bool IsOneCharacter(std::string_view text) {
  return !text.empty() && Utf8Length(text[0]) == text.size();
}

}  // namespace unswift
