#include "unswift/provenance/secret_memory.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace unswift {
namespace {

/// VmFlags of the mapping that holds an address, from /proc/self/smaps.
std::string FlagsOf(const void* address) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  std::ifstream maps("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    uintptr_t begin = 0, end = 0;
    char dash = 0;
    std::istringstream fields(line);
    if (fields >> std::hex >> begin >> dash >> end && dash == '-') {
      inside = begin <= at && at < end;
    } else if (inside && line.starts_with("VmFlags:")) {
      return line + " ";
    }
  }
  return "";
}

TEST(SecretMemory, StaysOutOfCoreDumpsAndSwap) {
  const SecretMemory memory = SecretMemory::Allocate(5000).value();
  ASSERT_EQ(memory.size(), 5000u);
  for (const std::byte byte : memory.bytes()) ASSERT_EQ(byte, std::byte{0});
  const std::string flags = FlagsOf(memory.data());
  if (flags.empty()) GTEST_SKIP() << "needs /proc/self/smaps";
  EXPECT_NE(flags.find(" dd "), std::string::npos) << flags;         // MADV_DONTDUMP
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they make mlock do nothing
  EXPECT_EQ(flags.find(" lo ") != std::string::npos, memory.locked()) << flags;
#endif  // mlock
}

TEST(SecretMemory, IsMovedNotCopied) {
  SecretMemory a = SecretMemory::Allocate(16).value();
  a.data()[3] = std::byte{42};
  const std::byte* data = a.data();
  SecretMemory b = std::move(a);
  EXPECT_EQ(b.data(), data);
  EXPECT_EQ(a.data(), nullptr);
  EXPECT_EQ(a.size(), 0u);
  EXPECT_EQ(b.data()[3], std::byte{42});
  EXPECT_EQ(SecretMemory::Allocate(0).value().size(), 0u);
}

TEST(ForbidCoreDumps, HoldsForTheProcess) {
  const auto child = [] {
    ForbidCoreDumps();
    rlimit limit{1, 1};
    getrlimit(RLIMIT_CORE, &limit);
    std::_Exit(prctl(PR_GET_DUMPABLE) == 0 && limit.rlim_max == 0 ? 0 : 1);
  };
  EXPECT_EXIT(child(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace unswift
