#include "unswift/tokenizer/decoder_stages.h"

#include <algorithm>

#include "unswift/tokenizer/pre_tokenizer.h"

namespace unswift {
namespace {

constexpr int kNotAByte = -1;

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return kNotAByte;
}

/// The value of "<0xNN>", else kNotAByte.
int ByteOfToken(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return kNotAByte;
  const int high = HexDigit(token[3]);
  const int low = HexDigit(token[4]);
  return high < 0 || low < 0 ? kNotAByte : high * 16 + low;
}

/// Inverse of ByteLevelCharacter: code point -> byte, or kNotAByte.
class ByteLevelBytes {
 public:
  ByteLevelBytes() {
    bytes_.fill(kNotAByte);
    for (int byte = 0; byte < 256; ++byte) {
      bytes_[ByteLevelCharacter(static_cast<uint8_t>(byte))] = static_cast<int16_t>(byte);
    }
  }
  int Find(char32_t character) const {
    return character < bytes_.size() ? bytes_[character] : kNotAByte;
  }

 private:
  std::array<int16_t, 0x144> bytes_;
};

/// The bytes that a byte-level token stands for.
std::string TokenBytes(std::string_view token) {
  static const ByteLevelBytes table;
  std::string bytes;
  for (size_t i = 0; i < token.size(); i += Utf8Length(token[i])) {
    const int byte = table.Find(Utf8CodePoint(token.substr(i)));
    if (byte == kNotAByte) return std::string(token);
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

}  // namespace

void FuseStage::Finish() {
  next_.EndToken();
  next_.Finish();
}

void ReplaceStage::Text(std::string_view text) {
  held_ += text;
  std::string replaced;
  size_t done = 0;
  for (size_t at = held_.find(pattern_); at != held_.npos; at = held_.find(pattern_, done)) {
    replaced.append(held_, done, at - done).append(content_);
    done = at + pattern_.size();
  }
  // The longest suffix that is a proper prefix of the pattern may yet become an occurrence.
  const std::string_view rest = std::string_view(held_).substr(done);
  size_t keep = std::min(rest.size(), pattern_.size() - 1);
  while (keep > 0 && rest.substr(rest.size() - keep) != pattern_.substr(0, keep)) --keep;
  replaced.append(rest.substr(0, rest.size() - keep));
  held_.erase(0, held_.size() - keep);
  if (!replaced.empty()) next_.Text(replaced);
}

void ReplaceStage::EndToken() {
  if (!held_.empty()) next_.Text(held_);
  held_.clear();
  next_.EndToken();
}

void StripStage::Text(std::string_view text) {
  while (start_left_ > 0 && text.starts_with(mark_)) {
    text.remove_prefix(mark_.size());
    --start_left_;
  }
  if (text.empty()) return;
  start_left_ = 0;
  HoldBack(text);
}

/// Passes `text` on, except marks at its end that may be the token's last.
void StripStage::HoldBack(std::string_view text) {
  size_t marks = 0;
  std::string_view body = text;
  while (marks < stop_ && body.ends_with(mark_)) {
    body.remove_suffix(mark_.size());
    ++marks;
  }
  if (body.empty()) {
    // All marks: those held before and these together keep at most stop_.
    held_marks_ += marks;
    for (; held_marks_ > stop_; --held_marks_) next_.Text(mark_);
    return;
  }
  for (; held_marks_ > 0; --held_marks_) next_.Text(mark_);
  next_.Text(body);
  held_marks_ = marks;
}

void StripStage::EndToken() {
  held_marks_ = 0;
  start_left_ = start_;
  next_.EndToken();
}

void ByteFallbackStage::Text(std::string_view text) {
  if (passing_through_) {
    next_.Text(text);
    return;
  }
  token_ += text;
  if (token_.size() <= 6) return;
  EndRun();
  passing_through_ = true;
  next_.Text(token_);
  token_.clear();
}

void ByteFallbackStage::EndToken() {
  const int byte = passing_through_ ? kNotAByte : ByteOfToken(token_);
  if (byte != kNotAByte) {
    AddByte(static_cast<uint8_t>(byte));
  } else {
    if (!passing_through_) {
      EndRun();
      if (!token_.empty()) next_.Text(token_);
    }
    next_.EndToken();
  }
  token_.clear();
  passing_through_ = false;
}

void ByteFallbackStage::AddByte(uint8_t byte) {
  if (run_is_broken_) {
    EmitBroken(1);
    return;
  }
  run_ += static_cast<char>(byte);
  if (automaton_.Push(byte)) return;
  run_is_broken_ = true;
  EmitBroken(run_.size());
  run_.clear();
}

void ByteFallbackStage::EndRun() {
  if (!run_.empty() && automaton_.complete()) {
    next_.Text(run_);
    next_.EndToken();
  } else {
    EmitBroken(run_.size());
  }
  run_.clear();
  automaton_ = Utf8Automaton();
  run_is_broken_ = false;
}

void ByteFallbackStage::EmitBroken(size_t num_bytes) {
  for (size_t i = 0; i < num_bytes; ++i) {
    next_.Text(kReplacementCharacter);
    next_.EndToken();
  }
}

void ByteFallbackStage::Finish() {
  EndRun();
  next_.Finish();
}

void ByteLevelStage::EndToken() {
  std::string text;
  repairer_.Push(TokenBytes(token_), text);
  token_.clear();
  if (!text.empty()) next_.Text(text);
}

void ByteLevelStage::Finish() {
  std::string text;
  repairer_.Finish(text);
  if (!text.empty()) next_.Text(text);
  next_.EndToken();
  next_.Finish();
}

void MetaspaceStage::Text(std::string_view text) {
  std::string spaced;
  size_t done = 0;
  for (size_t at = text.find(mark_); at != text.npos; at = text.find(mark_, done)) {
    spaced.append(text, done, at - done);
    if (!drops_marks_) spaced += ' ';
    done = at + mark_.size();
  }
  spaced.append(text, done);
  if (!spaced.empty()) next_.Text(spaced);
}

void MetaspaceStage::EndToken() {
  drops_marks_ = false;
  next_.EndToken();
}

void CollectStage::OpenToken() {
  if (is_open_) return;
  if (!is_first_) out_ += separator_;
  is_first_ = false;
  is_open_ = true;
}

void CollectStage::Text(std::string_view text) {
  OpenToken();
  out_ += text;
}

void CollectStage::EndToken() {
  OpenToken();
  is_open_ = false;
}

}  // namespace unswift
