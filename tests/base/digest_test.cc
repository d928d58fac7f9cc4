#include "unswift/base/digest.h"

#include <string>

#include "tests/base/expect_error.h"
#include "tests/testing/test_data.h"

namespace unswift {
namespace {

std::span<const std::byte> Bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// Vectors of FIPS 180-4 (NIST's examples).
TEST(Sha256, KnownVectors) {
  EXPECT_EQ(Sha256Hex({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Hex(Bytes("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Hex(Bytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(Sha256, PiecesMakeTheSameDigest) {
  const std::string million(1'000'000, 'a');
  Sha256 hash;
  size_t piece = 1;
  for (size_t begin = 0; begin < million.size(); begin += piece, piece = piece * 3 % 1009 + 1) {
    hash.Update(Bytes(std::string_view(million).substr(begin, piece)));
  }
  EXPECT_EQ(hash.HexDigest(), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, FileAcrossChunks) {
  const TempDir dir;
  std::string bytes((size_t{16} << 20) + 12345, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * i >> 5);
  WriteTextFile(dir / "big", bytes);
  EXPECT_EQ(Sha256HexOfFile(dir / "big").value(), Sha256Hex(Bytes(bytes)));
  WriteTextFile(dir / "empty", "");
  EXPECT_EQ(Sha256HexOfFile(dir / "empty").value(), Sha256Hex({}));
  EXPECT_TRUE(FailsWith(Sha256HexOfFile(dir / "absent"), ErrorCode::kNotFound, "absent"));
}

}  // namespace
}  // namespace unswift
