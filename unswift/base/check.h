// UNSWIFT_CHECK: an invariant of our own code. Never used on outside data: that returns a Result.
#pragma once

namespace unswift {
/// Writes the broken invariant to stderr and aborts. Only UNSWIFT_CHECK calls it.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);
}  // namespace unswift

#define UNSWIFT_CHECK(condition)                              \
  do {                                                        \
    if (!(condition)) [[unlikely]]                            \
      ::unswift::CheckFailed(__FILE__, __LINE__, #condition); \
  } while (false)
