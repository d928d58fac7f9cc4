#include "unswift/base/memory_usage.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <string>

namespace unswift {

int64_t AnonymousBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word != "RssAnon:") continue;
    int64_t kibibytes = 0;
    status >> kibibytes;
    return kibibytes * 1024;
  }
  return 0;
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
