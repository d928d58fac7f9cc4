// The test vectors of docs/sealed_format.md, read from the page itself.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/base/expect_error.h"
#include "tests/testing/test_data.h"
#include "unswift/io/json.h"
#include "unswift/provenance/encoding.h"
#include "unswift/provenance/unseal.h"

namespace unswift {
namespace {

/// The blocks between "```json vector" and "```".
std::vector<Json> Vectors() {
  std::vector<Json> vectors;
  const std::string page = ReadTextFile("docs/sealed_format.md");
  const std::string opening = "```json vector\n";
  for (size_t at = page.find(opening); at != page.npos; at = page.find(opening, at + 1)) {
    const size_t begin = at + opening.size();
    vectors.push_back(Json::parse(page.substr(begin, page.find("```", begin) - begin)));
  }
  return vectors;
}

std::string Joined(const Json& lines) {
  std::string text;
  for (const Json& line : lines) text += line.get<std::string>();
  return text;
}

TEST(SealedVectors, OpenAsTheDocumentSays) {
  const std::vector<Json> vectors = Vectors();
  ASSERT_EQ(vectors.size(), 2u);
  ThreadPool pool(2);
  for (const Json& vector : vectors) {
    const TempDir dir;
    std::string pem;
    for (const Json& line : vector["private_key"]) pem += line.get<std::string>() + "\n";
    WriteTextFile(dir / "key", pem);
    ASSERT_EQ(chmod((dir / "key").c_str(), 0600), 0);
    const std::optional<std::string> sealed = FromBase64(Joined(vector["sealed"]));
    ASSERT_TRUE(sealed.has_value());
    WriteTextFile(dir / "sealed", *sealed);
    const PrivateKey key = PrivateKey::Read(dir / "key", KeyType::kSealing).value();
    const auto opened = UnsealToMemory(dir / "sealed", key, pool, {});
    ASSERT_TRUE(Succeeds(opened));
    EXPECT_EQ(opened->files.Names().value().size(), vector["files"].size());
    for (const auto& [name, content] : vector["files"].items()) {
      const MappedFile file = opened->files.Open(name).value();
      EXPECT_EQ(Base64(file.bytes()), content.get<std::string>()) << name;
    }
  }
}

}  // namespace
}  // namespace unswift
