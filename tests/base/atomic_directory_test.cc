#include "unswift/base/atomic_directory.h"

#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <set>
#include <string>

#include "tests/base/expect_error.h"
#include "tests/testing/test_data.h"

namespace unswift {
namespace {

namespace fs = std::filesystem;

std::set<std::string> NamesIn(const fs::path& directory) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory)) names.insert(entry.path().filename());
  return names;
}

using Names = std::set<std::string>;

/// The id of a process that has just ended.
pid_t DeadPid() {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  waitpid(child, nullptr, 0);
  return child;
}

TEST(AtomicDirectory, AppearsAtCommitOnly) {
  const TempDir dir;
  auto output = AtomicDirectory::Create(dir / "model", false);
  ASSERT_TRUE(Succeeds(output));
  ASSERT_TRUE(Succeeds(WriteFile(output->path() / "a.txt", "one")));
  fs::create_directory(output->path() / "sub");
  ASSERT_TRUE(Succeeds(WriteFile(output->path() / "sub" / "b.txt", "two")));
  EXPECT_FALSE(fs::exists(dir / "model"));
  ASSERT_TRUE(Succeeds(output->Commit()));
  EXPECT_EQ(NamesIn(dir.path()), Names{"model"});
  EXPECT_EQ(ReadTextFile(dir / "model" / "a.txt"), "one");
  EXPECT_EQ(ReadTextFile(dir / "model" / "sub" / "b.txt"), "two");
}

TEST(AtomicDirectory, LeavesNoTraceWithoutCommit) {
  const TempDir dir;
  {
    auto output = AtomicDirectory::Create(dir / "model", false);
    ASSERT_TRUE(Succeeds(output));
    ASSERT_TRUE(Succeeds(WriteFile(output->path() / "a.txt", "one")));
    EXPECT_EQ(NamesIn(dir.path()).size(), 1u);
  }
  EXPECT_EQ(NamesIn(dir.path()), Names{});
}

TEST(AtomicDirectory, MovedFromObjectRemovesNothing) {
  const TempDir dir;
  std::optional<AtomicDirectory> second;
  {
    auto first = AtomicDirectory::Create(dir / "model", false);
    ASSERT_TRUE(Succeeds(first));
    second.emplace(std::move(*first));
  }
  EXPECT_TRUE(fs::exists(second->path()));
  ASSERT_TRUE(Succeeds(second->Commit()));
  second.reset();
  EXPECT_EQ(NamesIn(dir.path()), Names{"model"});
}

TEST(AtomicDirectory, RefusesExistingTarget) {
  const TempDir dir;
  fs::create_directory(dir / "model");
  EXPECT_TRUE(FailsWith(AtomicDirectory::Create(dir / "model", false), ErrorCode::kAlreadyExists,
                        "expected a path that does not exist"));
  WriteTextFile(dir / "file", "x");
  EXPECT_TRUE(FailsWith(AtomicDirectory::Create(dir / "file", false), ErrorCode::kAlreadyExists,
                        "expected a path that does not exist"));
  fs::create_symlink("nowhere", dir / "link");
  EXPECT_TRUE(FailsWith(AtomicDirectory::Create(dir / "link", false), ErrorCode::kAlreadyExists,
                        "expected a path that does not exist"));
  EXPECT_EQ(NamesIn(dir.path()), (Names{"file", "link", "model"}));
}

TEST(AtomicDirectory, RefusesTargetThatAppearsMeanwhile) {
  const TempDir dir;
  {
    auto output = AtomicDirectory::Create(dir / "model", false);
    ASSERT_TRUE(Succeeds(output));
    fs::create_directory(dir / "model");
    WriteTextFile(dir / "model" / "theirs", "x");
    EXPECT_TRUE(FailsWith(output->Commit(), ErrorCode::kAlreadyExists, "model"));
  }
  EXPECT_EQ(NamesIn(dir.path()), Names{"model"});
  EXPECT_EQ(NamesIn(dir / "model"), Names{"theirs"});
}

TEST(AtomicDirectory, ReplaceExchangesAndRemovesTheOld) {
  const TempDir dir;
  fs::create_directories(dir / "model/sub");
  WriteTextFile(dir / "model/sub/old", "x");
  auto output = AtomicDirectory::Create(dir / "model", true);
  ASSERT_TRUE(Succeeds(output));
  ASSERT_TRUE(Succeeds(WriteFile(output->path() / "new", "y")));
  EXPECT_TRUE(fs::exists(dir / "model/sub/old"));
  ASSERT_TRUE(Succeeds(output->Commit()));
  EXPECT_EQ(NamesIn(dir.path()), Names{"model"});
  EXPECT_EQ(NamesIn(dir / "model"), Names{"new"});
}

TEST(AtomicDirectory, ReplaceTakesAnAbsentTargetAndATrailingSlash) {
  const TempDir dir;
  auto output = AtomicDirectory::Create(dir / "model/", true);
  ASSERT_TRUE(Succeeds(output));
  ASSERT_TRUE(Succeeds(output->Commit()));
  EXPECT_EQ(NamesIn(dir.path()), Names{"model"});
}

TEST(AtomicDirectory, ReportsParents) {
  const TempDir dir;
  EXPECT_TRUE(FailsWith(AtomicDirectory::Create(dir / "absent/model", false), ErrorCode::kNotFound,
                        "parent directory does not exist"));
  WriteTextFile(dir / "file", "x");
  EXPECT_TRUE(FailsWith(AtomicDirectory::Create(dir / "file/model", false), ErrorCode::kIo,
                        "Not a directory"));
}

TEST(AtomicDirectory, ReportsUnwritableParent) {
  const TempDir dir;
  fs::create_directory(dir / "parent");
  constexpr auto kAllMayEnter = static_cast<fs::perms>(0555);
  fs::permissions(dir.path(), kAllMayEnter, fs::perm_options::add);
  fs::permissions(dir / "parent", kAllMayEnter);
  // Permissions do not bind root, so a root is nobody for a while.
  constexpr uid_t kNobody = 65534;
  const bool root = geteuid() == 0;
  if (root && seteuid(kNobody) != 0) GTEST_SKIP() << "needs the right to become another user";
  EXPECT_TRUE(FailsWith(AtomicDirectory::Create(dir / "parent/model", false), ErrorCode::kIo,
                        "Permission denied"));
  if (root) {
    ASSERT_EQ(seteuid(0), 0);
  }
  fs::permissions(dir / "parent", fs::perms::owner_all);
}

TEST(AtomicDirectory, RemovesOnlyWhatDeadProcessesLeft) {
  const TempDir dir;
  const std::string dead = fmt::format(".model.partial-{}", DeadPid());
  const std::string living = fmt::format(".model.partial-{}", getppid());
  const std::string other_target = fmt::format(".model2.partial-{}", DeadPid());
  const Names kept = {living, other_target, ".model.partial-", ".model.partial-12x"};
  for (const std::string& name : kept) fs::create_directory(dir / name);
  fs::create_directory(dir / dead);
  WriteTextFile(dir / dead / "half", "x");
  {
    auto output = AtomicDirectory::Create(dir / "model", false);
    ASSERT_TRUE(Succeeds(output));
    EXPECT_FALSE(fs::exists(dir / dead));
  }
  EXPECT_EQ(NamesIn(dir.path()), kept);
}

TEST(WriteFileAtomically, ReplacesOnlyWhenAsked) {
  const TempDir dir;
  ASSERT_TRUE(Succeeds(WriteFileAtomically(dir / "a", "one", false)));
  EXPECT_TRUE(FailsWith(WriteFileAtomically(dir / "a", "two", false), ErrorCode::kAlreadyExists,
                        "expected a path that does not exist"));
  EXPECT_EQ(ReadTextFile(dir / "a"), "one");
  ASSERT_TRUE(Succeeds(WriteFileAtomically(dir / "a", "two", true)));
  EXPECT_EQ(ReadTextFile(dir / "a"), "two");
  EXPECT_EQ(NamesIn(dir.path()), Names{"a"});
}

TEST(WriteFileAtomically, LeavesNothingOnFailure) {
  const TempDir dir;
  fs::create_directory(dir / "a");
  WriteTextFile(dir / "a" / "inside", "x");
  EXPECT_FALSE(WriteFileAtomically(dir / "a", "two", true));
  EXPECT_EQ(NamesIn(dir.path()), Names{"a"});
  EXPECT_EQ(NamesIn(dir / "a"), Names{"inside"});
}

TEST(WriteFile, ReportsTheSystemsReason) {
  const TempDir dir;
  EXPECT_TRUE(FailsWith(WriteFile(dir / "absent/a", "x"), ErrorCode::kIo, "No such file"));
  EXPECT_TRUE(FailsWith(WriteFile("/dev/full", "x"), ErrorCode::kIo, "No space left on device"));
  EXPECT_TRUE(FailsWith(SyncPath(dir / "absent"), ErrorCode::kIo, "No such file"));
}

}  // namespace
}  // namespace unswift
