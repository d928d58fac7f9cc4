// How much memory this process holds, and how much more there is.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

namespace unswift {

/// RssAnon of /proc/self/status in bytes (mapped files do not count); 0 where the system has none.
int64_t AnonymousBytes();

/// The largest resident set since this program began (VmHWM), mapped files included; 0 where the
/// system has none. getrusage also counts what the parent held when it forked.
int64_t PeakResidentBytes();

/// What a process may still take without pushing others out: MemAvailable of /proc/meminfo in
/// bytes, no more than the limit of the control group it runs in; 0 where the system does not say.
int64_t AvailableBytes();

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
