#include "unswift/marks/registry.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>

#include "tests/testing/test_data.h"
#include "unswift/io/json.h"
#include "unswift/provenance/encoding.h"

namespace unswift {
namespace {

namespace fs = std::filesystem;

int ModeOf(const fs::path& path) {
  struct stat info = {};
  EXPECT_EQ(stat(path.c_str(), &info), 0);
  return info.st_mode & 07777;
}

class RegistryTest : public ::testing::Test {
 protected:
  void WritePrivate(const std::string& text) {
    WriteTextFile(path_, text);
    fs::permissions(path_, fs::perms::owner_read | fs::perms::owner_write);
  }
  std::string ErrorOf(const std::string& text) {
    WritePrivate(text);
    const auto registry = Registry::Read(path_);
    return registry ? "read" : registry.error().message;
  }

  TempDir directory_;
  const fs::path path_ = directory_.path() / "registry.json";
  const std::string key_ = Base64(AsBytes(std::string(32, 'k')));
};

TEST_F(RegistryTest, RoundTripKeepsNamesAndKeys) {
  Registry registry = Registry::Create().value();
  for (int i = 0; i < 300; ++i) {  // several pages of keys
    EXPECT_EQ(registry.FindOrAdd("recipient " + std::to_string(i)).value(), size_t(i));
  }
  EXPECT_EQ(registry.FindOrAdd("recipient 7").value(), size_t{7});
  registry.set_original("/models/one");
  ASSERT_TRUE(registry.Write(path_).has_value());
  const Registry read = Registry::Read(path_).value();
  ASSERT_EQ(read.size(), size_t{300});
  EXPECT_EQ(read.original(), "/models/one");
  EXPECT_TRUE(std::ranges::equal(read.key(), registry.key()));
  for (size_t i = 0; i < 300; ++i) {
    EXPECT_EQ(read.name(i), registry.name(i));
    EXPECT_TRUE(std::ranges::equal(read.recipient_key(i), registry.recipient_key(i)));
  }
  EXPECT_FALSE(std::ranges::equal(read.recipient_key(0), read.recipient_key(1)));
  EXPECT_FALSE(std::ranges::equal(read.recipient_key(0), read.key()));
}

TEST_F(RegistryTest, OnlyTheOwnerMayReadIt) {
  const mode_t old = umask(0);
  ASSERT_TRUE(Registry::Create().value().Write(path_).has_value());
  umask(old);
  EXPECT_EQ(ModeOf(path_), 0600);
  fs::permissions(path_, fs::perms::group_read, fs::perm_options::add);
  const auto refused = Registry::Read(path_);
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message.find("only its owner may read"), std::string::npos);
}

TEST_F(RegistryTest, AFailedWriteLeavesTheOldOne) {
  ASSERT_TRUE(Registry::Create().value().Write(path_).has_value());
  const std::string before = ReadTextFile(path_);
  fs::create_directory(path_.string() + ".partial");  // in the way
  const auto status = Registry::Create().value().Write(path_);
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_EQ(ReadTextFile(path_), before);
}

TEST_F(RegistryTest, NamesAreCheckedAndErrorsTellNoKey) {
  Registry registry = Registry::Create().value();
  for (const std::string& name : {std::string(), std::string(257, 'a'), std::string("\xff")}) {
    EXPECT_FALSE(registry.FindOrAdd(name).has_value());
  }
  const std::string recipients = R"(, "recipients": [{"name": "a", "key": ")" + key_ + R"("}])";
  const std::string head = R"({"format_version": 1, "key": ")" + key_ + "\"";
  EXPECT_EQ(ErrorOf(head + recipients + "}"), "read");
  for (const std::string& text :
       {std::string("nonsense"), std::string("[]"), head + "}", head + R"(, "recipients": {}})",
        R"({"format_version": 2, "key": ")" + key_ + "\"" + recipients + "}",
        R"({"format_version": 1, "key": "AAAA")" + recipients + "}",
        R"({"format_version": 1, "key": 5)" + recipients + "}",
        head + R"(, "recipients": [{"name": "a"}]})", head + R"(, "recipients": [3]})",
        head + R"(, "recipients": [{"name": "a", "key": ")" + key_ +
            R"("}, {"name": "a", "key": ")" + key_ + R"("}]})"}) {
    const std::string message = ErrorOf(text);
    EXPECT_NE(message, "read") << text;
    EXPECT_EQ(message.find(key_), std::string::npos) << message;
  }
  EXPECT_EQ(Registry::Read(directory_.path() / "none").error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace unswift
