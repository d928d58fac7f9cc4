#define PCRE2_CODE_UNIT_WIDTH 8
#include "unswift/tokenizer/regex.h"

#include <pcre2.h>

#include <algorithm>
#include <new>
#include <utility>

#include "unswift/base/check.h"
#include "unswift/io/json.h"
#include "unswift/io/text.h"
#include "unswift/tokenizer/regex_syntax.h"
#include "unswift/tokenizer/utf8.h"

namespace unswift {
namespace {

constexpr size_t kMaxPatternBytes = 1 << 14;
// A match of an ordinary pattern takes a few steps per byte that it looks at, and a run of white
// space may be the whole text; what takes more backtracks without end.
constexpr size_t kMatchSteps = 1'000'000;
constexpr size_t kMatchStepsPerByte = 32;
// Real normalizers and pre-tokenizers grow a text three- or fourfold.
constexpr size_t kMaxGrowth = 64;
constexpr size_t kGrowthAllowance = 1 << 20;
constexpr size_t kJitStackStart = 32 << 10;
constexpr size_t kJitStackMax = 1 << 20;

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using CodePtr = std::unique_ptr<pcre2_code, Deleter<pcre2_code_free>>;
using CompileContextPtr =
    std::unique_ptr<pcre2_compile_context, Deleter<pcre2_compile_context_free>>;
using MatchContextPtr = std::unique_ptr<pcre2_match_context, Deleter<pcre2_match_context_free>>;
using MatchDataPtr = std::unique_ptr<pcre2_match_data, Deleter<pcre2_match_data_free>>;
using JitStackPtr = std::unique_ptr<pcre2_jit_stack, Deleter<pcre2_jit_stack_free>>;

template <typename Pointer>
Pointer NotNull(Pointer pointer) {
  if (pointer == nullptr) throw std::bad_alloc();
  return pointer;
}

std::string PcreMessage(int code) {
  PCRE2_UCHAR buffer[256];
  const int length = pcre2_get_error_message(code, buffer, sizeof buffer);
  return length < 0 ? fmt::format("error {}", code)
                    : std::string(reinterpret_cast<const char*>(buffer), length);
}

PCRE2_SPTR Bytes(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

class RegexPattern final : public Pattern {
 public:
  explicit RegexPattern(Regex regex) : regex_(std::move(regex)) {}
  Result<> FindAll(std::string_view text, TextScratch& scratch,
                   std::vector<ByteSpan>& matches) const override {
    return regex_.FindAll(text, scratch, matches);
  }

 private:
  Regex regex_;
};

class FixedPattern final : public Pattern {
 public:
  explicit FixedPattern(std::string needle) : needle_(std::move(needle)) {}
  Result<> FindAll(std::string_view text, TextScratch&,
                   std::vector<ByteSpan>& matches) const override {
    for (size_t at = text.find(needle_); at != text.npos;
         at = text.find(needle_, at + needle_.size())) {
      matches.push_back({at, at + needle_.size()});
    }
    return {};
  }

 private:
  std::string needle_;
};

tl::unexpected<Error> NotAPattern(std::string_view key, const PartContext& context) {
  return MakeError(ErrorCode::kInvalidData,
                   "[open_tokenizer] {}: '{}': expected {{\"String\": non-empty text}} or "
                   "{{\"Regex\": text}}, got something else",
                   context.what, key);
}

}  // namespace

struct TextScratch::Data {
  MatchDataPtr match{NotNull(pcre2_match_data_create(1, nullptr))};
  MatchContextPtr context{NotNull(pcre2_match_context_create(nullptr))};
  JitStackPtr stack{pcre2_jit_stack_create(kJitStackStart, kJitStackMax, nullptr)};
};

TextScratch::TextScratch() : data_(std::make_unique<Data>()) {
  SetInputSize(0);
  // Without a stack of its own (JIT not built in) matching falls back to the machine stack.
  if (data_->stack) pcre2_jit_stack_assign(data_->context.get(), nullptr, data_->stack.get());
}
TextScratch::~TextScratch() = default;

void TextScratch::SetInputSize(size_t input_bytes) {
  max_text_bytes_ = input_bytes * kMaxGrowth + kGrowthAllowance;
}

Result<> TextScratch::CheckTextSize(size_t bytes) const {
  if (bytes <= max_text_bytes_) return {};
  return MakeError(ErrorCode::kInvalidData,
                   "[encode] text: expected at most {} bytes after normalization, got {}",
                   max_text_bytes_, bytes);
}

TextScratch::TextScratch(TextScratch&&) noexcept = default;

struct Regex::Code {
  CodePtr pcre;
};

Regex::Regex(std::unique_ptr<const Code> code) : code_(std::move(code)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex::~Regex() = default;

Result<Regex> Regex::Compile(std::string_view pattern, std::string_view what) {
  if (pattern.size() > kMaxPatternBytes || !IsValidUtf8(pattern)) {
    return MakeError(ErrorCode::kInvalidData,
                     "[open_tokenizer] {}: pattern: expected at most {} bytes of UTF-8, got {}",
                     what, kMaxPatternBytes, pattern.size());
  }
  UNSWIFT_ASSIGN_OR_RETURN(const std::string translated, TranslatePattern(pattern, what));
  const CompileContextPtr context(NotNull(pcre2_compile_context_create(nullptr)));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  CodePtr pcre(pcre2_compile(Bytes(translated), translated.size(),
                             PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &offset,
                             context.get()));
  if (pcre == nullptr) {
    return MakeError(ErrorCode::kUnsupported,
                     "[open_tokenizer] {}: pattern: expected one that PCRE2 accepts, got: {}", what,
                     PcreMessage(error));
  }
  // Refused JIT compilation (not built in, no executable memory) leaves the interpreter.
  pcre2_jit_compile(pcre.get(), PCRE2_JIT_COMPLETE);
  auto code = std::make_unique<Code>();
  code->pcre = std::move(pcre);
  return Regex(std::move(code));
}

Result<> Regex::FindAll(std::string_view text, TextScratch& scratch,
                        std::vector<ByteSpan>& matches) const {
  TextScratch::Data& data = *scratch.data_;
  const PCRE2_SIZE* span = pcre2_get_ovector_pointer(data.match.get());
  const size_t steps = kMatchSteps + kMatchStepsPerByte * text.size();
  pcre2_set_match_limit(data.context.get(),
                        static_cast<uint32_t>(std::min<size_t>(steps, UINT32_MAX)));
  size_t from = 0;
  size_t last_end = std::string_view::npos;
  while (from < text.size()) {
    // The text is valid UTF-8; checking it again at every match would make this quadratic.
    const int count = pcre2_match(code_->pcre.get(), Bytes(text), text.size(), from,
                                  PCRE2_NO_UTF_CHECK, data.match.get(), data.context.get());
    if (count == PCRE2_ERROR_NOMATCH) break;
    if (count < 0) {
      return MakeError(ErrorCode::kInvalidData,
                       "[encode] pattern: expected a match within the limits, got: {} at byte {}",
                       PcreMessage(count), from);
    }
    const bool is_empty = span[0] == span[1];
    if (!is_empty || span[0] != last_end) matches.push_back({span[0], span[1]});
    last_end = span[1];
    from = span[1];
    if (is_empty && from < text.size()) from += Utf8Length(text[from]);
  }
  return {};
}

Result<std::unique_ptr<Pattern>> Pattern::FromJson(const Json& part, std::string_view key,
                                                   const PartContext& context) {
  const Json* pattern = FindMember(part, key);
  if (pattern == nullptr || !pattern->is_object() || pattern->size() != 1) {
    return NotAPattern(key, context);
  }
  if (FindMember(*pattern, "Regex") != nullptr) {
    UNSWIFT_ASSIGN_OR_RETURN(const std::string text,
                             PartField<std::string>(*pattern, "Regex", context));
    UNSWIFT_ASSIGN_OR_RETURN(Regex regex, Regex::Compile(text, context.what));
    return FromRegex(std::move(regex));
  }
  UNSWIFT_ASSIGN_OR_RETURN(std::string needle, StringPattern(part, key, context));
  return std::make_unique<FixedPattern>(std::move(needle));
}

std::unique_ptr<Pattern> Pattern::FromRegex(Regex regex) {
  return std::make_unique<RegexPattern>(std::move(regex));
}

Result<std::string> StringPattern(const Json& part, std::string_view key,
                                  const PartContext& context) {
  const Json* pattern = FindMember(part, key);
  if (pattern == nullptr || !pattern->is_object()) return NotAPattern(key, context);
  if (FindMember(*pattern, "Regex") != nullptr) {
    return MakeError(ErrorCode::kUnsupported,
                     "[open_tokenizer] {}: '{}': expected a String pattern, got a Regex",
                     context.what, key);
  }
  UNSWIFT_ASSIGN_OR_RETURN(std::string needle, PartField<std::string>(*pattern, "String", context));
  if (needle.empty()) return NotAPattern(key, context);
  return needle;
}

}  // namespace unswift
