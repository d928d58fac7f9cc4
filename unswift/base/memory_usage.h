// How much private memory this process holds.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

namespace unswift {

/// RssAnon of /proc/self/status in bytes (mapped files do not count); 0 where the system has none.
int64_t AnonymousBytes();

/// Samples AnonymousBytes every few milliseconds until destroyed.
class AnonymousPeak {
 public:
  AnonymousPeak();
  ~AnonymousPeak();
  AnonymousPeak(const AnonymousPeak&) = delete;
  AnonymousPeak& operator=(const AnonymousPeak&) = delete;
  int64_t bytes() const;

 private:
  std::atomic<int64_t> peak_{0};
  std::atomic<bool> stop_{false};
  std::thread sampler_;
};

}  // namespace unswift
