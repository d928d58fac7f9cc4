// The stages of a running decoder. Each holds back no more text than a later token could change.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "unswift/tokenizer/decoder.h"
#include "unswift/tokenizer/metaspace.h"
#include "unswift/tokenizer/utf8.h"

namespace unswift {

class Stage : public TokenSink {
 public:
  explicit Stage(TokenSink& next) : next_(next) {}

 protected:
  TokenSink& next_;
};

/// All tokens become one.
class FuseStage final : public Stage {
 public:
  using Stage::Stage;
  void Text(std::string_view text) override { next_.Text(text); }
  void EndToken() override {}
  void Finish() override;
};

/// Every occurrence of a text inside a token becomes another one.
class ReplaceStage final : public Stage {
 public:
  ReplaceStage(TokenSink& next, std::string_view pattern, std::string_view content)
      : Stage(next), pattern_(pattern), content_(content) {}
  void Text(std::string_view text) override;
  void EndToken() override;
  void Finish() override { next_.Finish(); }

 private:
  std::string_view pattern_, content_;
  std::string held_;  // a suffix of the token so far that may begin the pattern
};

/// Removes up to `start` marks from a token's front and up to `stop` from its back.
class StripStage final : public Stage {
 public:
  StripStage(TokenSink& next, std::string_view mark, size_t start, size_t stop)
      : Stage(next), mark_(mark), start_(start), stop_(stop), start_left_(start) {}
  void Text(std::string_view text) override;
  void EndToken() override;
  void Finish() override { next_.Finish(); }

 private:
  void HoldBack(std::string_view text);
  std::string_view mark_;
  size_t start_, stop_;
  size_t start_left_;      // marks that may still go from the front of this token
  size_t held_marks_ = 0;  // trailing marks of this token, at most stop_
};

/// Tokens "<0xNN>" become bytes; a run of them becomes one token when it is UTF-8, else one U+FFFD
/// per byte. So a run is held until it ends or is known to be broken.
class ByteFallbackStage final : public Stage {
 public:
  using Stage::Stage;
  void Text(std::string_view text) override;
  void EndToken() override;
  void Finish() override;

 private:
  void AddByte(uint8_t byte);
  void EndRun();
  void EmitBroken(size_t num_bytes);
  std::string token_;             // the token so far, while it may still be a byte
  bool passing_through_ = false;  // the token is known to be no byte
  std::string run_;
  Utf8Automaton automaton_;
  bool run_is_broken_ = false;
};

/// Characters of the byte-level alphabet become bytes; all tokens become one. A token with any
/// other character stands for its own UTF-8.
class ByteLevelStage final : public Stage {
 public:
  using Stage::Stage;
  void Text(std::string_view text) override { token_ += text; }
  void EndToken() override;
  void Finish() override;

 private:
  std::string token_;
  Utf8Repairer repairer_;
};

/// Marks become spaces; those of the first token go when the pre-tokenizer prepends one.
class MetaspaceStage final : public Stage {
 public:
  MetaspaceStage(TokenSink& next, const MetaspaceSettings& settings)
      : Stage(next),
        mark_(settings.replacement),
        drops_marks_(settings.prepend != MetaspacePrepend::kNever) {}
  void Text(std::string_view text) override;
  void EndToken() override;
  void Finish() override { next_.Finish(); }

 private:
  std::string_view mark_;
  bool drops_marks_;
};

/// The end of the chain: collects text, with `separator` between tokens.
class CollectStage final : public TokenSink {
 public:
  CollectStage(std::string& out, std::string_view separator) : out_(out), separator_(separator) {}
  void Text(std::string_view text) override;
  void EndToken() override;
  void Finish() override {}

 private:
  void OpenToken();
  std::string& out_;
  std::string_view separator_;
  bool is_first_ = true;
  bool is_open_ = false;
};

}  // namespace unswift
