#include "unswift/base/file_set.h"

#include <gtest/gtest.h>

#include "tests/base/expect_error.h"
#include "tests/testing/test_data.h"

namespace unswift {
namespace {

std::string Text(const FileSet& files, const std::string& name) {
  const Result<MappedFile> file = files.Open(name);
  if (!file) return "error: " + file.error().message;
  return {reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()};
}

TEST(FileSet, ShowsADirectory) {
  const TempDir dir;
  WriteTextFile(dir / "b", "two");
  WriteTextFile(dir / "a", "one");
  const FileSet files(dir.path());
  EXPECT_EQ(files.Names().value(), (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(files.Contains("a"));
  EXPECT_FALSE(files.Contains("c"));
  EXPECT_EQ(Text(files, "b"), "two");
  EXPECT_EQ(files.PathOf("b"), dir / "b");
  EXPECT_TRUE(FailsWith(files.Open("c"), ErrorCode::kNotFound, "c: No such file"));
}

TEST(FileSet, ListsNothingButRegularFiles) {
  const TempDir dir;
  WriteTextFile(dir / "a", "one");
  std::filesystem::create_symlink("a", dir / "link");
  EXPECT_TRUE(FailsWith(FileSet(dir.path()).Names(), ErrorCode::kInvalidData, "link: expected"));
  std::filesystem::remove(dir / "link");
  std::filesystem::create_directory(dir / "inner");
  EXPECT_TRUE(FailsWith(FileSet(dir.path()).Names(), ErrorCode::kInvalidData, "inner: expected"));
  EXPECT_TRUE(FailsWith(FileSet(dir / "absent").Names(), ErrorCode::kIo, "absent"));
}

TEST(FileSet, KeepsMemoryAliveAndUnchanged) {
  auto bytes = std::make_shared<std::vector<std::byte>>(3 * 4096, std::byte{7});
  const std::weak_ptr<const void> watch = bytes;
  std::optional<MappedFile> file;
  {
    const FileSet files("sealed", {{"x", *bytes}, {"empty", {}}}, bytes);
    bytes.reset();
    EXPECT_EQ(files.Names().value(), (std::vector<std::string>{"empty", "x"}));
    EXPECT_EQ(Text(files, "empty"), "");
    EXPECT_TRUE(FailsWith(files.Open("y"), ErrorCode::kNotFound, "sealed/y"));
    file = files.Open("x").value();
  }
  ASSERT_FALSE(watch.expired());
  file->Release(0, file->bytes().size());  // of a mapping this drops pages, of memory it must not
  for (const std::byte byte : file->bytes()) ASSERT_EQ(byte, std::byte{7});
  MappedFile moved = std::move(*file);
  file.reset();
  EXPECT_FALSE(watch.expired());
  moved = MappedFile();
  EXPECT_TRUE(watch.expired());
}

TEST(FileSet, PlainFileNames) {
  for (const char* good : {"a", "model-00001-of-00002.safetensors", ".gitignore", "a b"}) {
    EXPECT_TRUE(IsPlainFileName(good)) << good;
  }
  for (const char* bad : {"", ".", "..", "../a", "/etc/passwd", "a/b", "a\\b", "a..b"}) {
    EXPECT_FALSE(IsPlainFileName(bad)) << bad;
  }
  EXPECT_FALSE(IsPlainFileName(std::string_view("a\0b", 3)));
}

}  // namespace
}  // namespace unswift
