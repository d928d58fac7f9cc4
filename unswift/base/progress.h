// Progress of long work, told to whoever wants to show it. The library itself prints nothing.
#pragma once

#include <functional>
#include <string_view>

namespace unswift {

/// Called with the stage's name and how much of it is done, 0..1. May be empty. Always called from
/// the thread that called the library.
using ProgressFn = std::function<void(std::string_view stage, double done)>;

inline void Report(const ProgressFn& progress, std::string_view stage, double done) {
  if (progress) progress(stage, done);
}

}  // namespace unswift
