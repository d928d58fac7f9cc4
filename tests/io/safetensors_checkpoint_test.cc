#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "tests/base/expect_error.h"
#include "tests/testing/test_data.h"
#include "unswift/io/json.h"
#include "unswift/io/safetensors.h"

namespace unswift {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIndex = "model.safetensors.index.json";

/// One byte per tensor: the first character of its name.
void WriteShard(const fs::path& path, const std::vector<std::string>& names) {
  std::vector<TensorSpec> specs;
  for (const std::string& name : names) specs.push_back({name, DType::kU8, {1}});
  auto writer = SafetensorsWriter::Create(path, specs);
  ASSERT_TRUE(Succeeds(writer));
  for (const std::string& name : names) {
    ASSERT_TRUE(Succeeds(writer->Append(std::as_bytes(std::span(name.data(), 1)))));
  }
  ASSERT_TRUE(Succeeds(writer->Finish()));
}

void WriteIndex(const fs::path& directory, const std::map<std::string, std::string>& weight_map) {
  WriteTextFile(directory / kIndex,
                Json{{"metadata", {{"total_size", 1}}}, {"weight_map", weight_map}}.dump());
}

char ByteOf(const Checkpoint& checkpoint, const std::string& name) {
  return static_cast<char>(checkpoint.Get(name).value().data[0]);
}

TEST(Checkpoint, SingleFile) {
  const TempDir dir;
  WriteShard(dir / "model.safetensors", {"a", "b"});
  const auto checkpoint = Checkpoint::Open(dir.path());
  ASSERT_TRUE(Succeeds(checkpoint));
  EXPECT_EQ(checkpoint->tensors().size(), 2u);
  EXPECT_EQ(checkpoint->files().size(), 1u);
  EXPECT_EQ(ByteOf(*checkpoint, "b"), 'b');
  EXPECT_EQ(checkpoint->Find("c"), nullptr);
  EXPECT_TRUE(FailsWith(checkpoint->Get("c"), ErrorCode::kNotFound,
                        dir.path().string() + ": expected a tensor 'c'"));
}

TEST(Checkpoint, Shards) {
  const TempDir dir;
  WriteShard(dir / "s1.safetensors", {"a", "c"});
  WriteShard(dir / "s2.safetensors", {"b"});
  WriteIndex(dir.path(),
             {{"a", "s1.safetensors"}, {"b", "s2.safetensors"}, {"c", "s1.safetensors"}});
  auto opened = Checkpoint::Open(dir.path());
  ASSERT_TRUE(Succeeds(opened));
  const Checkpoint checkpoint = std::move(*opened);  // views survive the move
  EXPECT_EQ(checkpoint.files().size(), 2u);
  for (const char* name : {"a", "b", "c"}) EXPECT_EQ(ByteOf(checkpoint, name), name[0]);
  EXPECT_EQ(checkpoint.FileOf("b").path().filename(), "s2.safetensors");
  EXPECT_EQ(checkpoint.FileOf("c").path().filename(), "s1.safetensors");
  checkpoint.Release("c");
  EXPECT_EQ(ByteOf(checkpoint, "c"), 'c');
}

TEST(Checkpoint, TheIndexWinsOverTheSingleFile) {
  const TempDir dir;
  WriteShard(dir / "model.safetensors", {"old"});
  WriteShard(dir / "s1.safetensors", {"new"});
  WriteIndex(dir.path(), {{"new", "s1.safetensors"}});
  const auto checkpoint = Checkpoint::Open(dir.path());
  ASSERT_TRUE(Succeeds(checkpoint));
  EXPECT_NE(checkpoint->Find("new"), nullptr);
  EXPECT_EQ(checkpoint->Find("old"), nullptr);
}

TEST(Checkpoint, NothingThere) {
  const TempDir dir;
  EXPECT_TRUE(FailsWith(Checkpoint::Open(dir.path()), ErrorCode::kNotFound, "got neither"));
  EXPECT_TRUE(FailsWith(Checkpoint::Open(dir / "absent"), ErrorCode::kNotFound, "got neither"));
  WriteTextFile(dir / "pytorch_model.bin", "pickle");
  EXPECT_TRUE(FailsWith(Checkpoint::Open(dir.path()), ErrorCode::kNotFound, "save_pretrained"));
}

TEST(Checkpoint, ShardNamesCannotLeaveTheDirectory) {
  const TempDir dir;
  fs::create_directory(dir / "model");
  fs::create_directory(dir / "model/sub");
  for (const char* place : {"s.safetensors", "model/s.safetensors", "model/sub/s.safetensors"}) {
    WriteShard(dir / place, {"a"});
  }
  const std::vector<std::string> names = {"../s.safetensors",
                                          "sub/s.safetensors",
                                          "./s.safetensors",
                                          "..",
                                          ".",
                                          "",
                                          "sub\\s",
                                          "a..b",
                                          (dir / "s.safetensors").string()};
  for (const std::string& name : names) {
    WriteIndex(dir / "model", {{"a", name}});
    EXPECT_TRUE(FailsWith(Checkpoint::Open(dir / "model"), ErrorCode::kInvalidData,
                          "tensor 'a': expected a file name"))
        << name;
  }
  WriteIndex(dir / "model", {{"a", std::string("s.safetensors\0/../x", 19)}});
  EXPECT_TRUE(FailsWith(Checkpoint::Open(dir / "model"), ErrorCode::kInvalidData, "a file name"));
  WriteIndex(dir / "model", {{"a", "s.safetensors"}});
  EXPECT_TRUE(Succeeds(Checkpoint::Open(dir / "model")));
}

TEST(Checkpoint, TheIndexMustAgreeWithTheShards) {
  const TempDir dir;
  WriteShard(dir / "s1", {"a", "b"});
  WriteShard(dir / "s2", {"c"});
  using Map = std::map<std::string, std::string>;
  const auto fails = [&](const Map& weight_map, ErrorCode code, const char* part) {
    WriteIndex(dir.path(), weight_map);
    return FailsWith(Checkpoint::Open(dir.path()), code, part);
  };
  const auto invalid = ErrorCode::kInvalidData;
  EXPECT_TRUE(fails({{"a", "s1"}, {"b", "s1"}, {"c", "s3"}}, ErrorCode::kNotFound, "s3"));
  EXPECT_TRUE(fails({{"a", "s1"}, {"b", "s1"}, {"c", "s2"}, {"d", "s2"}}, invalid,
                    "tensor 'd': expected in shard 's2', got no such tensor there"));
  EXPECT_TRUE(fails({{"a", "s1"}, {"b", "s2"}, {"c", "s2"}}, invalid, "tensor 'b'"));
  EXPECT_TRUE(fails({{"a", "s1"}, {"c", "s2"}}, invalid,
                    "tensor 'b' of shard 's1': expected it to be listed there, got no entry"));
}

TEST(Checkpoint, ATensorInTwoShards) {
  const TempDir dir;
  WriteShard(dir / "s1", {"a", "b"});
  WriteShard(dir / "s2", {"a"});
  WriteIndex(dir.path(), {{"a", "s2"}, {"b", "s1"}});
  EXPECT_TRUE(FailsWith(Checkpoint::Open(dir.path()), ErrorCode::kInvalidData,
                        "tensor 'a' of shard 's1': expected it to be listed there, got another"));
}

TEST(Checkpoint, BrokenIndex) {
  const TempDir dir;
  WriteShard(dir / "s1", {"a"});
  for (const char* text :
       {"[]", "{}", R"({"weight_map":[]})", R"({"weight_map":{}})", R"({"weight_map":{"a":1}})",
        R"({"weight_map":{"a":"s1","a":"s1"}})", "{", "null"}) {
    WriteTextFile(dir / kIndex, text);
    EXPECT_TRUE(FailsWith(Checkpoint::Open(dir.path()), ErrorCode::kInvalidData, kIndex)) << text;
  }
}

}  // namespace
}  // namespace unswift
