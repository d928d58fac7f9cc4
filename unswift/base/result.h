// Result<T>: a value or an Error. Every function that reads outside data (files, requests, flags)
// returns one; a broken invariant of our own is UNSWIFT_CHECK (base/check.h) instead.
//
// Message form: "[where] what: expected ..., got ...", for example
//   [open_safetensors] model.safetensors: tensor 'x': expected 8 bytes, got 4
#pragma once

#include <fmt/core.h>

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace unswift {

enum class ErrorCode {
  kInvalidArgument,  ///< a flag, request or parameter is outside what the function accepts
  kInvalidData,      ///< a file or message breaks its format, or does not fit its neighbours
  kNotFound,         ///< a file, tensor or key that must exist does not
  kAlreadyExists,    ///< a target that must not exist does
  kUnsupported,      ///< well-formed, but of a kind this build does not handle
  kIo,               ///< the operating system refused (permission, disk full, ...)
};

struct Error {
  ErrorCode code;
  std::string message;
};

template <typename T = void>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
};

/// Builds the error arm of any Result: `return MakeError(ErrorCode::kIo, "[write] {}: {}", path,
/// why);`
template <typename... Args>
tl::unexpected<Error> MakeError(ErrorCode code, fmt::format_string<Args...> format,
                                Args&&... args) {
  return tl::unexpected<Error>(Error{code, fmt::format(format, std::forward<Args>(args)...)});
}

}  // namespace unswift

#define UNSWIFT_CONCAT_INNER(a, b) a##b
#define UNSWIFT_CONCAT(a, b) UNSWIFT_CONCAT_INNER(a, b)

/// Returns the error of a Result<> expression from the enclosing function.
#define UNSWIFT_RETURN_IF_ERROR(expr)                                             \
  do {                                                                            \
    auto unswift_status = (expr);                                                 \
    if (!unswift_status) {                                                        \
      return tl::unexpected<::unswift::Error>(std::move(unswift_status).error()); \
    }                                                                             \
  } while (false)

/// `UNSWIFT_ASSIGN_OR_RETURN(auto x, F());` binds the value or returns the error.
#define UNSWIFT_ASSIGN_OR_RETURN(lhs, expr) \
  UNSWIFT_ASSIGN_OR_RETURN_INNER(UNSWIFT_CONCAT(unswift_result_, __LINE__), lhs, expr)
#define UNSWIFT_ASSIGN_OR_RETURN_INNER(tmp, lhs, expr)                       \
  auto tmp = (expr);                                                         \
  if (!tmp) return tl::unexpected<::unswift::Error>(std::move(tmp).error()); \
  lhs = std::move(tmp).value()
