// Where tests find outside data, and temporary directories.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace unswift {

/// The shared data folder: $UNSWIFT_TEST_DATA, else ../shared/data beside the project. Empty when
/// absent.
std::filesystem::path TestDataDir();

/// Reads a JSON or text file of a test; fails the test when it cannot be read.
nlohmann::json ReadJsonFile(const std::filesystem::path& path);
std::string ReadTextFile(const std::filesystem::path& path);
void WriteTextFile(const std::filesystem::path& path, const std::string& bytes);

/// A directory that goes with the object.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace unswift

/// Skips the test, saying why, when the shared data has no such file or folder.
#define UNSWIFT_NEEDS_DATA(relative)                                   \
  if (::unswift::TestDataDir().empty() ||                              \
      !std::filesystem::exists(::unswift::TestDataDir() / (relative))) \
  GTEST_SKIP() << "needs " << (relative) << " of the shared test data (set UNSWIFT_TEST_DATA)"
