// Assertions on Result<T>.
#pragma once

#include <gtest/gtest.h>

#include <string_view>

#include "unswift/base/result.h"

namespace unswift {

/// True when the result is an error of this code whose message contains `part`.
template <typename T>
testing::AssertionResult FailsWith(const Result<T>& result, ErrorCode code, std::string_view part) {
  if (result) return testing::AssertionFailure() << "succeeded, expected '" << part << "'";
  const Error& error = result.error();
  if (error.code == code && error.message.find(part) != error.message.npos) {
    return testing::AssertionSuccess() << error.message;
  }
  return testing::AssertionFailure()
         << "code " << static_cast<int>(error.code) << ", '" << error.message << "'; expected code "
         << static_cast<int>(code) << ", '" << part << "'";
}

template <typename T>
testing::AssertionResult Succeeds(const Result<T>& result) {
  if (result) return testing::AssertionSuccess();
  return testing::AssertionFailure() << result.error().message;
}

}  // namespace unswift
