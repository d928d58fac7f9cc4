// The pattern language of tokenizer.json (Oniguruma's Ruby syntax) in PCRE2's terms.
#pragma once

#include <string>
#include <string_view>

#include "unswift/base/result.h"

namespace unswift {

/// Rewrites a pattern so that PCRE2 (UTF, UCP, MULTILINE) finds what Oniguruma would find: \s and
/// \w become explicit sets (PCRE2's \s has U+180E, its \w lacks marks), script names become sc:Name
/// (PCRE2 means script extensions otherwise). What the two read differently is refused.
/// Errors: kUnsupported naming the construct.
Result<std::string> TranslatePattern(std::string_view pattern, std::string_view what);

}  // namespace unswift
