#include "unswift/release/reader/expiry.h"

#include <charconv>

#include "unswift/io/text.h"

namespace unswift {
namespace {

/// `count` digits at the front of `text`, which it drops; -1 when there are other characters.
int TakeNumber(std::string_view& text, size_t count) {
  int value = -1;
  const std::string_view digits = text.substr(0, count);
  if (digits.size() != count || digits.find_first_not_of("0123456789") != digits.npos) return -1;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  text.remove_prefix(count);
  return value;
}

bool TakeDash(std::string_view& text) {
  if (!text.starts_with('-')) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

Result<std::chrono::sys_days> ParseDate(std::string_view text, std::string_view what) {
  std::string_view rest = text;
  const int year = TakeNumber(rest, 4);
  const bool first = TakeDash(rest);
  const int month = TakeNumber(rest, 2);
  const bool second = TakeDash(rest);
  const int day = TakeNumber(rest, 2);
  if (first && second && rest.empty() && year >= 0 && month >= 0 && day >= 0) {
    const std::chrono::year_month_day date{std::chrono::year(year),
                                           std::chrono::month(static_cast<unsigned>(month)),
                                           std::chrono::day(static_cast<unsigned>(day))};
    if (date.ok()) return std::chrono::sys_days(date);
  }
  return MakeError(ErrorCode::kInvalidArgument,
                   "[expiry] {}: expected a date like 2027-01-31, got '{}'", what, Shorten(text));
}

std::chrono::sys_days Today() {
  return std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now());
}

Result<> CheckExpiry(const Manifest& manifest, std::chrono::sys_days today) {
  if (manifest.expires.empty()) return {};
  UNSWIFT_ASSIGN_OR_RETURN(const std::chrono::sys_days last,
                           ParseDate(manifest.expires, "expires"));
  if (today <= last) return {};
  return MakeError(ErrorCode::kInvalidArgument,
                   "[open_release] this release expired on {} (--ignore-expiry runs it anyway)",
                   manifest.expires);
}

}  // namespace unswift
