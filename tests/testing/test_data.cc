#include "tests/testing/test_data.h"

#include <nlohmann/json.hpp>

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace unswift {

namespace fs = std::filesystem;

fs::path TestDataDir() {
  if (const char* dir = std::getenv("UNSWIFT_TEST_DATA")) return dir;
  const fs::path beside = fs::current_path() / ".." / "shared" / "data";
  return fs::exists(beside) ? fs::canonical(beside) : fs::path();
}

std::string ReadTextFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void WriteTextFile(const fs::path& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary);
  file << bytes;
  EXPECT_TRUE(file.good()) << path;
}

nlohmann::json ReadJsonFile(const fs::path& path) {
  return nlohmann::json::parse(ReadTextFile(path));
}

TempDir::TempDir() {
  std::string name = (fs::temp_directory_path() / "unswift-test-XXXXXX").string();
  EXPECT_NE(mkdtemp(name.data()), nullptr);
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace unswift
