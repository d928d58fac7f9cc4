#include "unswift/provenance/key.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/base/expect_error.h"
#include "tests/testing/test_data.h"
#include "unswift/base/digest.h"

namespace unswift {
namespace {

namespace fs = std::filesystem;

mode_t ModeOf(const fs::path& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
}

TEST(Key, PairsComeBackFromTheirFiles) {
  for (const KeyType type : {KeyType::kSigning, KeyType::kSealing}) {
    const TempDir dir;
    const PrivateKey made = PrivateKey::Generate(type).value();
    ASSERT_TRUE(Succeeds(WriteKeyPair(made, dir / "key", /*replace=*/false)));
    EXPECT_EQ(ModeOf(dir / "key"), 0600u);
    const PrivateKey key = PrivateKey::Read(dir / "key", type).value();
    const PublicKey public_key = PublicKey::Read(dir / "key.pub", type).value();
    EXPECT_EQ(key.public_key().pem(), ReadTextFile(dir / "key.pub"));
    EXPECT_EQ(public_key.id(), Sha256HexOfFile(dir / "key.pub").value());
    EXPECT_EQ(public_key.id(), made.public_key().id());
    EXPECT_NE(public_key.id(), PrivateKey::Generate(type).value().public_key().id());
  }
}

TEST(Key, ReplacesNothingUnasked) {
  const TempDir dir;
  const PrivateKey key = PrivateKey::Generate(KeyType::kSigning).value();
  WriteTextFile(dir / "a", "precious");
  EXPECT_TRUE(
      FailsWith(WriteKeyPair(key, dir / "a", false), ErrorCode::kAlreadyExists, "a: exists"));
  EXPECT_EQ(ReadTextFile(dir / "a"), "precious");
  WriteTextFile(dir / "b.pub", "precious");
  EXPECT_TRUE(FailsWith(WriteKeyPair(key, dir / "b", false), ErrorCode::kAlreadyExists, "b.pub"));
  EXPECT_FALSE(fs::exists(dir / "b"));
  ASSERT_TRUE(Succeeds(WriteKeyPair(key, dir / "a", /*replace=*/true)));
  EXPECT_EQ(ModeOf(dir / "a"), 0600u);
  EXPECT_TRUE(Succeeds(PrivateKey::Read(dir / "a", KeyType::kSigning)));
}

TEST(Key, RefusesPrivateKeysThatOthersMayRead) {
  const TempDir dir;
  const PrivateKey key = PrivateKey::Generate(KeyType::kSealing).value();
  ASSERT_TRUE(Succeeds(WriteKeyPair(key, dir / "key", false)));
  for (const mode_t mode : {0640, 0604, 0644, 0610, 0602}) {
    ASSERT_EQ(chmod((dir / "key").c_str(), mode), 0);
    EXPECT_TRUE(FailsWith(PrivateKey::Read(dir / "key", KeyType::kSealing), ErrorCode::kInvalidData,
                          "chmod 600"));
  }
  ASSERT_EQ(chmod((dir / "key").c_str(), 0400), 0);
  EXPECT_TRUE(Succeeds(PrivateKey::Read(dir / "key", KeyType::kSealing)));
}

// A throw-away key of openssl: ecparam -name prime256v1 -genkey | ec -aes128, passphrase "secret".
constexpr char kEncrypted[] =
    "-----BEGIN EC PRIVATE KEY-----\n"
    "Proc-Type: 4,ENCRYPTED\n"
    "DEK-Info: AES-128-CBC,95073FED7752295B1EF85086D207C8BA\n"
    "\n"
    "z6/inARKRYIgP1TKhKEfUv9pZF38Z1AROGYtW3TmVasP3v0DEEnnMote0rk+ggw9\n"
    "f9+sx+oVOOrTWq3/ZuGMjBEqkAJXeOVHLW9DIs3i0RmO4oZ0X72bj/1x8tIOTEVE\n"
    "TAtpbRJ0rL6kZnizhEsww+zpKjNDwlxgWvNfIxUzFRM=\n"
    "-----END EC PRIVATE KEY-----\n";

TEST(Key, RefusesEncryptedKeysWithoutAskingForAPassphrase) {
  const TempDir dir;
  WriteTextFile(dir / "key", kEncrypted);
  fs::permissions(dir / "key", fs::perms::owner_read);
  EXPECT_TRUE(FailsWith(PrivateKey::Read(dir / "key", KeyType::kSigning), ErrorCode::kInvalidData,
                        "expected an unencrypted private key"));
}

TEST(Key, RefusesOtherFiles) {
  const TempDir dir;
  const PrivateKey signing = PrivateKey::Generate(KeyType::kSigning).value();
  const PrivateKey sealing = PrivateKey::Generate(KeyType::kSealing).value();
  ASSERT_TRUE(Succeeds(WriteKeyPair(signing, dir / "sign", false)));
  ASSERT_TRUE(Succeeds(WriteKeyPair(sealing, dir / "seal", false)));
  EXPECT_TRUE(FailsWith(PrivateKey::Read(dir / "sign", KeyType::kSealing), ErrorCode::kInvalidData,
                        "expected a sealing (X25519) key, got EC"));
  EXPECT_TRUE(FailsWith(PublicKey::Read(dir / "seal.pub", KeyType::kSigning),
                        ErrorCode::kInvalidData, "got X25519"));
  EXPECT_TRUE(FailsWith(PublicKey::Read(dir / "sign", KeyType::kSigning), ErrorCode::kInvalidData,
                        "public key in PEM"));
  fs::permissions(dir / "sign.pub", fs::perms::owner_read);
  EXPECT_TRUE(FailsWith(PrivateKey::Read(dir / "sign.pub", KeyType::kSigning),
                        ErrorCode::kInvalidData, "private key in PEM"));
  EXPECT_TRUE(FailsWith(PrivateKey::Read(dir / "absent", KeyType::kSigning), ErrorCode::kNotFound,
                        "absent"));
  EXPECT_TRUE(
      FailsWith(PrivateKey::Read(dir.path(), KeyType::kSigning), ErrorCode::kInvalidData, "file"));
}

}  // namespace
}  // namespace unswift
