#include "unswift/base/memory_usage.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <string>

namespace unswift {

namespace {

/// The figure behind `name` in a file of /proc, in bytes; 0 where there is none.
int64_t ReadKibibytes(const char* path, const std::string& name) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    if (word != name) continue;
    int64_t kibibytes = 0;
    file >> kibibytes;
    return kibibytes * 1024;
  }
  return 0;
}

}  // namespace

int64_t AnonymousBytes() { return ReadKibibytes("/proc/self/status", "RssAnon:"); }

int64_t PeakResidentBytes() { return ReadKibibytes("/proc/self/status", "VmHWM:"); }

int64_t AvailableBytes() {
  const int64_t available = ReadKibibytes("/proc/meminfo", "MemAvailable:");
  std::ifstream group("/sys/fs/cgroup/memory.max");  // "max" where there is no limit
  int64_t limit = 0;
  return group >> limit ? std::min(available, limit) : available;
}

AnonymousPeak::AnonymousPeak() {
  sampler_ = std::thread([this] {
    while (!stop_.load()) {
      peak_.store(std::max(peak_.load(), AnonymousBytes()));
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  });
}

AnonymousPeak::~AnonymousPeak() {
  stop_.store(true);
  sampler_.join();
}

int64_t AnonymousPeak::bytes() const { return std::max(peak_.load(), AnonymousBytes()); }

}  // namespace unswift
