// The last day on which a release asks to be run. A courtesy between parties who keep to terms, not
// a barrier: --ignore-expiry, another clock or another program passes it.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "unswift/base/result.h"
#include "unswift/release/reader/manifest.h"

namespace unswift {

/// "2027-01-31". Errors: kInvalidArgument, naming `what`.
Result<std::chrono::sys_days> ParseDate(std::string_view text, std::string_view what);

/// Today in UTC.
std::chrono::sys_days Today();

/// Errors: kInvalidArgument when `today` is after the manifest's date, or that is no date.
Result<> CheckExpiry(const Manifest& manifest, std::chrono::sys_days today);

}  // namespace unswift
