#include "unswift/base/mapped_file.h"

#include <string>

#include "tests/base/expect_error.h"
#include "tests/testing/test_data.h"

namespace unswift {
namespace {

std::string_view Text(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

TEST(MappedFile, ShowsTheBytes) {
  const TempDir dir;
  WriteTextFile(dir / "a", "some bytes");
  const auto file = MappedFile::Open(dir / "a");
  ASSERT_TRUE(Succeeds(file));
  EXPECT_EQ(Text(*file), "some bytes");
}

TEST(MappedFile, EmptyFileIsAnEmptySpan) {
  const TempDir dir;
  WriteTextFile(dir / "empty", "");
  const auto file = MappedFile::Open(dir / "empty");
  ASSERT_TRUE(Succeeds(file));
  EXPECT_TRUE(file->bytes().empty());
  file->Release(0, 100);
}

TEST(MappedFile, ReportsWhatCannotBeMapped) {
  const TempDir dir;
  EXPECT_TRUE(FailsWith(MappedFile::Open(dir / "absent"), ErrorCode::kNotFound, "No such file"));
  EXPECT_TRUE(FailsWith(MappedFile::Open(dir.path()), ErrorCode::kIo, "expected a regular file"));
  EXPECT_TRUE(FailsWith(MappedFile::Open("/dev/null"), ErrorCode::kIo, "expected a regular file"));
}

TEST(MappedFile, MovesKeepTheMapping) {
  const TempDir dir;
  WriteTextFile(dir / "a", "first");
  WriteTextFile(dir / "b", "second");
  auto a = MappedFile::Open(dir / "a"), b = MappedFile::Open(dir / "b");
  ASSERT_TRUE(a && b);
  const std::byte* data = a->bytes().data();
  MappedFile moved(std::move(*a));
  EXPECT_EQ(moved.bytes().data(), data);
  EXPECT_TRUE(a->bytes().empty());
  moved = std::move(*b);
  EXPECT_EQ(Text(moved), "second");
}

TEST(MappedFile, ReleasedPagesComeBack) {
  const TempDir dir;
  std::string bytes(5 * 4096 + 17, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7);
  WriteTextFile(dir / "a", bytes);
  const auto file = MappedFile::Open(dir / "a");
  ASSERT_TRUE(Succeeds(file));
  file->Release(0, bytes.size());
  file->Release(4097, 8192);
  file->Release(4096, bytes.size());  // reaches past the end
  EXPECT_EQ(Text(*file), bytes);
}

TEST(ReadFile, HoldsTheLimit) {
  const TempDir dir;
  WriteTextFile(dir / "a", "12345");
  EXPECT_EQ(ReadFile(dir / "a", 5).value(), "12345");
  EXPECT_TRUE(FailsWith(ReadFile(dir / "a", 4), ErrorCode::kInvalidData,
                        "expected at most 4 bytes, got 5"));
  WriteTextFile(dir / "empty", "");
  EXPECT_EQ(ReadFile(dir / "empty", 0).value(), "");
}

}  // namespace
}  // namespace unswift
