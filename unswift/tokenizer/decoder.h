// Decoders: tokens back to text, token by token. Decoding everything and decoding a stream are the
// same code, so they cannot differ.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "unswift/tokenizer/part.h"

namespace unswift {

/// Takes tokens as runs of text (each valid UTF-8): Text, Text, EndToken, Text, EndToken, ...,
/// Finish.
class TokenSink {
 public:
  virtual ~TokenSink() = default;
  virtual void Text(std::string_view text) = 0;
  virtual void EndToken() = 0;
  virtual void Finish() = 0;
};

/// One part of a tokenizer's decoder; immutable.
class Decoder {
 public:
  virtual ~Decoder() = default;
  /// A new stage that passes its output on to `next`. The stages are kept in `owned`; the returned
  /// one takes this decoder's input.
  virtual TokenSink& Start(TokenSink& next,
                           std::vector<std::unique_ptr<TokenSink>>& owned) const = 0;

  /// Bound of output bytes per input byte.
  virtual double Growth() const { return 1.0; }

  /// Errors: kInvalidData (also when a hostile chain could blow a text up), kUnsupported naming the
  /// type.
  static Result<std::unique_ptr<Decoder>> FromJson(const Json& json, const PartContext& context);
};

/// One run of a decoder over a stream of tokens.
class DecoderRun {
 public:
  /// Without a decoder (null) tokens are joined with spaces, as the reference implementation does.
  explicit DecoderRun(const Decoder* decoder);
  DecoderRun(const DecoderRun&) = delete;
  DecoderRun& operator=(const DecoderRun&) = delete;
  void Token(std::string_view token);
  void Finish();
  /// Takes what is decided so far: complete UTF-8 that later tokens cannot change.
  std::string TakeText();

 private:
  std::string text_;
  std::vector<std::unique_ptr<TokenSink>> stages_;
  TokenSink* first_;
};

}  // namespace unswift
