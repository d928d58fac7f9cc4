#include <gtest/gtest.h>

#include <cstring>

#include "tests/base/expect_error.h"
#include "tests/testing/test_data.h"
#include "unswift/io/json.h"
#include "unswift/provenance/seal.h"
#include "unswift/provenance/sealed_payload.h"
#include "unswift/provenance/unseal.h"

namespace unswift {
namespace {

namespace fs = std::filesystem;

using Files = std::map<std::string, std::string>;

class Sealed : public testing::Test {
 protected:
  Sealed() { fs::create_directory(dir_ / "model"); }

  void WriteModel(const Files& files) {
    files_ = files;
    for (const auto& [name, text] : files) WriteTextFile(dir_ / "model" / name, text);
  }

  Result<SealReport> SealModel(SealCipher cipher = FastestSealCipher(), uint64_t chunk_bytes = 64) {
    SealOptions options;
    options.cipher = cipher;
    options.chunk_bytes = chunk_bytes;
    options.replace = true;
    std::vector<PublicKey> to;
    for (const PrivateKey* key : {&alice_, &bob_}) {
      to.push_back(CopyOf(key->public_key()));
    }
    return Seal(FileSet(dir_ / "model"), to, options, sealed_, pool_, {});
  }

  /// Through a file, as recipients hand their keys over.
  PublicKey CopyOf(const PublicKey& key) {
    WriteTextFile(dir_ / "copy.pub", key.pem());
    return PublicKey::Read(dir_ / "copy.pub", KeyType::kSealing).value();
  }

  Result<Files> Unseal(const PrivateKey& key) {
    UNSWIFT_ASSIGN_OR_RETURN(const UnsealedFiles opened, UnsealToMemory(sealed_, key, pool_, {}));
    UNSWIFT_ASSIGN_OR_RETURN(const std::vector<std::string> names, opened.files.Names());
    Files files;
    for (const std::string& name : names) {
      UNSWIFT_ASSIGN_OR_RETURN(const MappedFile file, opened.files.Open(name));
      files[name] =
          std::string(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
    }
    return files;
  }

  /// Both ways of opening the sealed file fail, and nothing is left of the attempt.
  testing::AssertionResult Refused(std::string_view part,
                                   ErrorCode code = ErrorCode::kInvalidData) {
    const auto memory = FailsWith(Unseal(alice_), code, part);
    if (!memory) return memory;
    const auto directory = FailsWith(
        UnsealToDirectory(sealed_, alice_, dir_ / "opened", false, pool_, {}), code, part);
    if (!directory) return directory;
    for (const fs::directory_entry& entry : fs::directory_iterator(dir_.path())) {
      if (entry.path().string().find("opened") != std::string::npos) {
        return testing::AssertionFailure() << "left " << entry.path();
      }
    }
    return testing::AssertionSuccess();
  }

  StoredHeader Stored() {
    const std::string text = ReadTextFile(sealed_);
    return DecodeHeader(std::as_bytes(std::span(text)), "x").value();
  }

  TempDir dir_;
  ThreadPool pool_{1};
  Files files_;
  PrivateKey alice_ = PrivateKey::Generate(KeyType::kSealing).value();
  PrivateKey bob_ = PrivateKey::Generate(KeyType::kSealing).value();
  fs::path sealed_ = dir_ / "model.sealed";
};

std::string Pattern(size_t bytes) {
  std::string text(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>(i * i / 7 + i);
  return text;
}

TEST_F(Sealed, ComesBackForEachRecipient) {
  ThreadPool two(2);
  WriteModel({{"config.json", "{}"},
              {"empty", ""},
              {"model.safetensors", Pattern(10'000)},
              {"z-empty", ""}});
  for (const SealCipher cipher : {SealCipher::kAes256Gcm, SealCipher::kXChaCha20Poly1305}) {
    for (const uint64_t chunk_bytes : {64, 1024, 1 << 20}) {
      const SealReport report = SealModel(cipher, chunk_bytes).value();
      EXPECT_EQ(report.files, 4u);
      EXPECT_EQ(report.sealed_bytes, fs::file_size(sealed_));
      EXPECT_EQ(Unseal(alice_).value(), files_);
      EXPECT_EQ(Unseal(bob_).value(), files_);
      const auto unsealed = UnsealToDirectory(sealed_, bob_, dir_ / "opened", true, two, {});
      ASSERT_TRUE(Succeeds(unsealed));
      for (const auto& [name, text] : files_) {
        EXPECT_EQ(ReadTextFile(dir_ / "opened" / name), text) << name;
      }
      EXPECT_EQ(FileSet(dir_ / "opened").Names().value().size(), files_.size());
      const std::string bytes = ReadTextFile(sealed_);
      EXPECT_EQ(bytes.find("config.json"), std::string::npos);  // names are sealed, too
    }
  }
}

TEST_F(Sealed, FileSizesAroundChunksAndAlignment) {
  for (size_t bytes = 0; bytes < 200; bytes += 13) {
    WriteModel({{"a", Pattern(bytes)}, {"b", Pattern(200 - bytes)}});
    ASSERT_TRUE(Succeeds(SealModel()));
    ASSERT_EQ(Unseal(alice_).value(), files_) << bytes;
  }
}

TEST_F(Sealed, TensorsLieAlignedInMemory) {
  WriteModel({{"a", "x"}, {"b", Pattern(100)}, {"c", "y"}});
  ASSERT_TRUE(Succeeds(SealModel()));
  const UnsealedFiles opened = UnsealToMemory(sealed_, alice_, pool_, {}).value();
  for (const char* name : {"a", "b", "c"}) {
    const MappedFile file = opened.files.Open(name).value();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(file.bytes().data()) % kSealedAlignment, 0u);
  }
}

TEST_F(Sealed, NeedsTheKeyOfARecipient) {
  WriteModel({{"a", "x"}});
  ASSERT_TRUE(Succeeds(SealModel()));
  const PrivateKey eve = PrivateKey::Generate(KeyType::kSealing).value();
  const auto refused = Unseal(eve);
  EXPECT_TRUE(FailsWith(refused, ErrorCode::kInvalidArgument, alice_.public_key().id()));
  EXPECT_TRUE(FailsWith(refused, ErrorCode::kInvalidArgument, bob_.public_key().id()));
  // Eve's id written over Alice's: the wrapped key is still not hers.
  std::string bytes = ReadTextFile(sealed_);
  bytes.replace(bytes.find(alice_.public_key().id()), 64, eve.public_key().id());
  WriteTextFile(sealed_, bytes);
  EXPECT_TRUE(FailsWith(Unseal(eve), ErrorCode::kInvalidData, "wrapped key"));
}

TEST_F(Sealed, EveryChangedByteIsRefused) {
  WriteModel({{"config.json", "{}"}, {"model.safetensors", Pattern(150)}});
  for (const SealCipher cipher : {SealCipher::kAes256Gcm, SealCipher::kXChaCha20Poly1305}) {
    ASSERT_TRUE(Succeeds(SealModel(cipher)));
    const std::string good = ReadTextFile(sealed_);
    for (size_t at = 0; at < good.size(); ++at) {
      std::string bad = good;
      bad[at] ^= static_cast<char>(1 << (at % 8));
      WriteTextFile(sealed_, bad);
      ASSERT_FALSE(Unseal(alice_).has_value()) << "byte " << at << " of " << good.size();
    }
  }
}

TEST_F(Sealed, CutAndGrownFilesAreRefused) {
  WriteModel({{"a", Pattern(500)}});
  ASSERT_TRUE(Succeeds(SealModel()));
  const std::string good = ReadTextFile(sealed_);
  for (size_t size = 0; size < good.size(); size += size < 40 ? 1 : 17) {
    WriteTextFile(sealed_, good.substr(0, size));
    ASSERT_FALSE(Unseal(alice_).has_value()) << size;
  }
  const size_t stride = 64 + kSealTagBytes;
  WriteTextFile(sealed_, good.substr(0, good.size() - stride));
  EXPECT_TRUE(Refused("bytes, got"));
  WriteTextFile(sealed_, good + good.substr(good.size() - stride));
  EXPECT_TRUE(Refused("bytes, got"));
}

TEST_F(Sealed, MovedChunksAreRefused) {
  WriteModel({{"a", std::string(1000, 'x')}});
  ASSERT_TRUE(Succeeds(SealModel()));
  const std::string good = ReadTextFile(sealed_);
  const size_t stride = 64 + kSealTagBytes, start = Stored().bytes;
  const std::string second = good.substr(start + stride, stride);
  const std::string third = good.substr(start + 2 * stride, stride);
  std::string swapped = good;
  swapped.replace(start + stride, stride, third).replace(start + 2 * stride, stride, second);
  WriteTextFile(sealed_, swapped);
  EXPECT_TRUE(Refused("not what was sealed"));
  std::string repeated = good;
  repeated.replace(start + 2 * stride, stride, second);
  WriteTextFile(sealed_, repeated);
  EXPECT_TRUE(Refused("chunk 3 of"));
}

TEST_F(Sealed, AnotherFilesHeaderOrChunksAreRefused) {
  WriteModel({{"a", Pattern(300)}});
  ASSERT_TRUE(Succeeds(SealModel()));
  const std::string one = ReadTextFile(sealed_);
  const size_t start = Stored().bytes;
  ASSERT_TRUE(Succeeds(SealModel()));
  const std::string two = ReadTextFile(sealed_);
  ASSERT_EQ(Stored().bytes, start);
  WriteTextFile(sealed_, one.substr(0, start) + two.substr(start));
  EXPECT_TRUE(Refused("not what was sealed"));
  // A recipient less: the wrapped keys that stay are good, but the header is another one.
  WriteTextFile(sealed_, one);
  StoredHeader stored = Stored();
  stored.header.recipients.pop_back();
  WriteTextFile(sealed_, EncodeHeader(stored.header) + one.substr(start));
  EXPECT_TRUE(Refused("chunk"));
}

TEST_F(Sealed, HostileHeadersAreRefused) {
  WriteModel({{"a", Pattern(300)}});
  ASSERT_TRUE(Succeeds(SealModel()));
  const std::string good = ReadTextFile(sealed_);
  const size_t start = Stored().bytes;
  const Json json = Json::parse(good.substr(20, start - 20));
  using Change = void (*)(Json&);
  const std::pair<Change, const char*> cases[] = {
      {[](Json& j) { j["format"] = "other"; }, "unswift-sealed"},
      {[](Json& j) { j["format_version"] = 2; }, "version 1"},
      {[](Json& j) { j["cipher"] = "rot13"; }, "known: aes-256-gcm, xchacha20-poly1305"},
      {[](Json& j) { j["chunk_bytes"] = 0; }, "chunk_bytes"},
      {[](Json& j) { j["chunk_bytes"] = 96; }, "power of two"},
      {[](Json& j) { j["chunk_bytes"] = int64_t{1} << 40; }, "chunk_bytes"},
      {[](Json& j) { j["payload_bytes"] = -1; }, "payload_bytes"},
      {[](Json& j) { j["payload_bytes"] = int64_t{1} << 47; }, "bytes, got"},
      {[](Json& j) { j["recipients"] = Json::array(); }, "recipients"},
      {[](Json& j) { j["recipients"][0]["wrapped_key"] = "AAAA"; }, "80 bytes"},
      {[](Json& j) { j["recipients"][0]["key_id"] = "alice"; }, "key id"},
  };
  for (const auto& [change, expected] : cases) {
    Json changed = json;
    change(changed);
    const std::string text = changed.dump();
    std::string head(kSealedMagic, 16);
    for (int i = 0; i < 4; ++i) head += static_cast<char>(text.size() >> (8 * i) & 0xff);
    WriteTextFile(sealed_, head + text + good.substr(start));
    const auto result = Unseal(alice_);
    ASSERT_FALSE(result.has_value()) << expected;
    EXPECT_NE(result.error().message.find(expected), std::string::npos) << result.error().message;
  }
}

// The table is authentic once it is read, but whoever sealed the file may be hostile.
TEST_F(Sealed, HostileTablesAreRefused) {
  std::vector<SealedFile> files = {{"a", 10, 0}, {"b", 20, 0}};
  const std::string good = EncodeTable(files);
  const uint64_t payload = files.back().offset + files.back().bytes;
  const auto decode = [&](const std::string& table, uint64_t bytes) {
    return DecodeTable(std::as_bytes(std::span(table)), bytes, "x");
  };
  EXPECT_EQ(decode(good, payload).value()[1].offset, files[1].offset);
  EXPECT_TRUE(FailsWith(decode(good, payload + 1), ErrorCode::kInvalidData, "up to byte"));
  EXPECT_TRUE(FailsWith(decode(good, payload - 1), ErrorCode::kInvalidData, "within"));
  for (const char* text :
       {R"({"files":[{"path":"../a","bytes":1}]})", R"({"files":[{"path":"/etc/x","bytes":1}]})",
        R"({"files":[{"path":"a","bytes":1},{"path":"a","bytes":1}]})",
        R"({"files":[{"path":"a","bytes":-1}]})", R"({"files":[{"path":"a","bytes":1e30}]})",
        R"({"files":[{"path":"a","bytes":9223372036854775807}]})", R"({"files":7})", "[]", ""}) {
    EXPECT_FALSE(decode(std::string(8, '\0') + text, 1000).has_value()) << text;
  }
  const std::byte huge[8] = {std::byte{0xff}, std::byte{0xff}, std::byte{0xff}, std::byte{0xff},
                             std::byte{0xff}, std::byte{0xff}, std::byte{0xff}, std::byte{0xff}};
  EXPECT_FALSE(TableBytes(huge, 1000, "x").has_value());
}

TEST_F(Sealed, WritesNothingItShouldNot) {
  WriteModel({{"a", "x"}});
  SealOptions options;
  const FileSet model(dir_ / "model");
  EXPECT_TRUE(FailsWith(Seal(model, {}, options, sealed_, pool_, {}), ErrorCode::kInvalidArgument,
                        "recipients"));
  std::vector<PublicKey> twice;
  twice.push_back(CopyOf(alice_.public_key()));
  twice.push_back(CopyOf(alice_.public_key()));
  EXPECT_TRUE(FailsWith(Seal(model, twice, options, sealed_, pool_, {}),
                        ErrorCode::kInvalidArgument, "given twice"));
  twice.pop_back();
  WriteTextFile(sealed_, "precious");
  EXPECT_TRUE(FailsWith(Seal(model, twice, options, sealed_, pool_, {}), ErrorCode::kAlreadyExists,
                        "--force"));
  EXPECT_EQ(ReadTextFile(sealed_), "precious");
  EXPECT_FALSE(IsSealedFile(sealed_));
  EXPECT_FALSE(IsSealedFile(dir_.path()));
  fs::create_symlink("a", dir_ / "model" / "link");
  EXPECT_TRUE(FailsWith(SealModel(), ErrorCode::kInvalidData, "link"));
}

}  // namespace
}  // namespace unswift
