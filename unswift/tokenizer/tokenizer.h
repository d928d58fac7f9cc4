// Hugging Face tokenizer.json: text <-> ids.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "unswift/base/file_set.h"
#include "unswift/base/result.h"
#include "unswift/io/json_fwd.h"

namespace unswift {

class DecoderRun;

/// An immutable tokenizer; safe to use from several threads. It gives the ids and texts of the
/// reference implementation (Hugging Face tokenizers). The "truncation" and "padding" of the file
/// are the caller's business and ignored.
class Tokenizer {
 public:
  /// Reads the model's tokenizer.json. Errors: kNotFound, kInvalidData, kUnsupported (names the
  /// part).
  static Result<Tokenizer> Open(const FileSet& model);
  /// `what` is the file's name in messages.
  static Result<Tokenizer> FromJson(const Json& json, std::string_view what);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// Text to ids. Special tokens written in the text are recognised; with add_special_tokens the
  /// post-processor adds its own (for example BOS). Errors: kInvalidArgument when text is not UTF-8
  /// or beyond 1 GiB; kInvalidData when a pattern of the file costs too much on it. Cost: O(n log
  /// n).
  Result<std::vector<int32_t>> Encode(std::string_view text, bool add_special_tokens) const;

  /// Ids to text; bytes that are no UTF-8 become U+FFFD. Unknown ids are skipped as transformers
  /// does. skip_special_tokens follows the reference to the letter: a special token that the
  /// normalizer changes (Llama-2's "<s>", which it turns into "_<s>") stays in the text.
  std::string Decode(const std::vector<int32_t>& ids, bool skip_special_tokens) const;

  /// One past the largest id.
  int32_t vocab_size() const;
  /// Tokens as the file writes them ("\u0120the" or "\u2581the" for " the").
  std::optional<int32_t> TokenToId(std::string_view token) const;
  std::optional<std::string> IdToToken(int32_t id) const;
  /// An added token that the file calls special.
  bool IsSpecial(int32_t id) const;

 private:
  friend class StreamDecoder;
  struct Impl;
  explicit Tokenizer(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

/// Decodes ids as they come. Each Append returns text that is complete UTF-8 and final; the pieces
/// plus Finish() are equal to Decode of all ids. Text that a later id could change waits (at most
/// one character for byte-level models; for byte fallback a whole run of byte tokens, because one
/// bad byte turns all of it into U+FFFD). Cost per id: constant. The tokenizer must outlive the
/// decoder.
class StreamDecoder {
 public:
  StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens);
  StreamDecoder(StreamDecoder&&) noexcept;
  StreamDecoder& operator=(StreamDecoder&&) noexcept;
  ~StreamDecoder();

  std::string Append(int32_t id);
  /// What is left (an unfinished character becomes U+FFFD). The decoder is spent afterwards.
  std::string Finish();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_tokens_;
  std::unique_ptr<DecoderRun> run_;
};

}  // namespace unswift
