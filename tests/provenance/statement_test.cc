#include "unswift/provenance/statement.h"

#include <gtest/gtest.h>

#include "tests/base/expect_error.h"
#include "unswift/io/json.h"

namespace unswift {
namespace {

const std::string kHashA(64, 'a'), kHashB(64, 'b');

TEST(Statement, SaysWhichFiles) {
  const std::vector<SignedFile> files = {{"a.json", kHashA}, {"b.bin", kHashB}};
  const std::string text = MakeStatement("model", files);
  EXPECT_EQ(ReadStatement(text, "x").value(), files);
  const Json json = Json::parse(text);
  EXPECT_EQ(json["subject"][0]["name"], "model");
  // printf 'aa..' | xxd -r -p | sha256sum, of both digests one behind the other.
  EXPECT_EQ(json["subject"][0]["digest"]["sha256"],
            "e2d80f78d79027556d6619a1400605abbdca6bb6eb24e0831e33ecd5466fa5f6");
  EXPECT_EQ(ReadStatement(MakeStatement("m", {}), "x").value().size(), 0u);
}

TEST(Statement, RefusesWhatItCannotTrust) {
  using Change = void (*)(Json&);
  const std::pair<Change, const char*> cases[] = {
      {[](Json& j) { j["_type"] = "https://in-toto.io/Statement/v0.1"; }, "Statement/v1"},
      {[](Json& j) { j["predicateType"] = "https://model_signing/Digests/v0.1"; },
       "signature/v1.0"},
      {[](Json& j) { j["subject"].push_back(j["subject"][0]); }, "one subject"},
      {[](Json& j) { j["subject"][0]["digest"]["sha256"] = kHashA; }, "digest is not that"},
      {[](Json& j) { j.erase("predicate"); }, "predicate"},
      {[](Json& j) { j["predicate"].erase("serialization"); }, "serialization"},
      {[](Json& j) { j["predicate"]["serialization"]["method"] = "shards"; }, "expected 'files'"},
      {[](Json& j) { j["predicate"]["serialization"]["hash_type"] = "blake2b"; }, "blake2b"},
      {[](Json& j) { j["predicate"]["resources"] = 3; }, "resources"},
      {[](Json& j) { j["predicate"]["resources"][0]["name"] = "../a.json"; }, "../a.json"},
      {[](Json& j) { j["predicate"]["resources"][0]["name"] = "/etc/passwd"; }, "/etc/passwd"},
      {[](Json& j) { j["predicate"]["resources"][0]["name"] = "sub/a.json"; }, "plain file name"},
      {[](Json& j) { j["predicate"]["resources"][0]["algorithm"] = "md5"; }, "md5"},
      {[](Json& j) { j["predicate"]["resources"][0]["digest"] = "abc"; }, "SHA-256"},
      {[](Json& j) { j["predicate"]["resources"][1]["digest"] = kHashA; }, "digest is not that"},
      {[](Json& j) { j["predicate"]["resources"][1]["name"] = "a.json"; }, "listed twice"},
      {[](Json& j) { j["predicate"]["resources"].erase(0); }, "digest is not that"},
  };
  for (const auto& [change, expected] : cases) {
    Json json = Json::parse(MakeStatement("model", {{"a.json", kHashA}, {"b.bin", kHashB}}));
    change(json);
    const auto read = ReadStatement(json.dump(), "x.sig");
    ASSERT_FALSE(read.has_value()) << expected;
    EXPECT_NE(read.error().message.find(expected), std::string::npos) << read.error().message;
    EXPECT_NE(read.error().message.find("x.sig"), std::string::npos) << read.error().message;
  }
}

}  // namespace
}  // namespace unswift
