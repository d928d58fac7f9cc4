#include "unswift/tokenizer/utf8.h"

namespace unswift {

bool Utf8Automaton::Push(uint8_t byte) {
  if (missing_ > 0) {
    const bool fits = byte >= low_ && byte <= high_;
    missing_ = fits ? missing_ - 1 : 0;
    low_ = 0x80;
    high_ = 0xBF;
    return fits;
  }
  if (byte < 0x80) return true;
  if (byte < 0xC2 || byte > 0xF4) return false;
  missing_ = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
  if (byte == 0xE0) low_ = 0xA0;
  if (byte == 0xED) high_ = 0x9F;
  if (byte == 0xF0) low_ = 0x90;
  if (byte == 0xF4) high_ = 0x8F;
  return true;
}

void Utf8Repairer::Push(std::string_view bytes, std::string& out) {
  for (const char byte : bytes) {
    if (!automaton_.Push(static_cast<uint8_t>(byte))) {
      out += kReplacementCharacter;
      const bool was_alone = pending_.empty();
      pending_.clear();
      // The byte that broke a character off may itself start one.
      if (was_alone) continue;
      if (!automaton_.Push(static_cast<uint8_t>(byte))) {
        out += kReplacementCharacter;
        continue;
      }
    }
    pending_ += byte;
    if (automaton_.complete()) {
      out += pending_;
      pending_.clear();
    }
  }
}

void Utf8Repairer::Finish(std::string& out) {
  if (!pending_.empty()) out += kReplacementCharacter;
  pending_.clear();
  automaton_ = Utf8Automaton();
}

void AppendUtf8(char32_t code_point, std::string& out) {
  const auto push = [&](char32_t byte) { out += static_cast<char>(byte); };
  if (code_point < 0x80) {
    push(code_point);
  } else if (code_point < 0x800) {
    push(0xC0 | code_point >> 6);
    push(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    push(0xE0 | code_point >> 12);
    push(0x80 | (code_point >> 6 & 0x3F));
    push(0x80 | (code_point & 0x3F));
  } else {
    push(0xF0 | code_point >> 18);
    push(0x80 | (code_point >> 12 & 0x3F));
    push(0x80 | (code_point >> 6 & 0x3F));
    push(0x80 | (code_point & 0x3F));
  }
}

}  // namespace unswift
