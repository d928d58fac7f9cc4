#include "unswift/provenance/signature_bundle.h"

#include <gtest/gtest.h>

#include "tests/base/expect_error.h"
#include "tests/testing/test_data.h"
#include "unswift/base/random.h"
#include "unswift/io/json.h"
#include "unswift/provenance/encoding.h"
#include "unswift/provenance/statement.h"

namespace unswift {
namespace {

constexpr char kPayload[] = "{\"any\": \"text\"}";

class SignatureBundle : public testing::Test {
 protected:
  Result<std::string> Verify(const std::string& bundle) const {
    return VerifyBundle(bundle, "x.sig", key_.public_key());
  }
  Result<std::string> Verify(const Json& bundle) const { return Verify(bundle.dump()); }

  PrivateKey key_ = PrivateKey::Generate(KeyType::kSigning).value();
  std::string text_ = SignPayload(kPayload, key_).value();
  Json bundle_ = Json::parse(text_);
};

// tests/provenance/make_golden_signature.py made these files with the public package.
TEST(ModelSigning, ItsSignatureIsUnderstood) {
  const std::filesystem::path golden = "tests/provenance/golden";
  const PublicKey key = PublicKey::Read(golden / "model_signing.pub", KeyType::kSigning).value();
  const auto payload = VerifyBundle(ReadTextFile(golden / "model_signing.sig"), "golden", key);
  ASSERT_TRUE(Succeeds(payload));
  const auto files = ReadStatement(*payload, "golden");
  ASSERT_TRUE(Succeeds(files));
  EXPECT_EQ(
      *files,
      (std::vector<SignedFile>{
          {"config.json", "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356"},
          {"weights.bin", "40aff2e9d2d8922e47afd4648e6967497158785fbd1da870e7110266bf944880"}}));
}

TEST_F(SignatureBundle, GivesThePayloadBack) {
  EXPECT_EQ(Verify(text_).value(), kPayload);
  EXPECT_EQ(bundle_["verificationMaterial"]["publicKey"]["hint"], key_.public_key().id());
}

TEST_F(SignatureBundle, RefusesWhatTheKeyHasNotSigned) {
  const PrivateKey other = PrivateKey::Generate(KeyType::kSigning).value();
  EXPECT_TRUE(FailsWith(VerifyBundle(text_, "x.sig", other.public_key()), ErrorCode::kInvalidData,
                        "expected one by key"));
  Json renamed = bundle_;  // claims the other key
  renamed["verificationMaterial"]["publicKey"]["hint"] = other.public_key().id();
  EXPECT_TRUE(FailsWith(VerifyBundle(renamed.dump(), "x.sig", other.public_key()),
                        ErrorCode::kInvalidData, "does not belong"));
  Json swapped = bundle_;
  swapped["dsseEnvelope"]["payload"] = Base64(AsBytes("{\"other\": \"text\"}"));
  EXPECT_TRUE(FailsWith(Verify(swapped), ErrorCode::kInvalidData, "does not belong"));
}

TEST_F(SignatureBundle, RefusesOtherForms) {
  using Change = void (*)(Json&);
  const std::pair<Change, const char*> cases[] = {
      {[](Json& j) { j.erase("mediaType"); }, "mediaType"},
      {[](Json& j) { j["mediaType"] = "application/json"; }, "mediaType"},
      {[](Json& j) { j.erase("verificationMaterial"); }, "verificationMaterial"},
      {[](Json& j) { j["verificationMaterial"].erase("publicKey"); }, "publicKey"},
      {[](Json& j) { j["verificationMaterial"]["publicKey"].erase("hint"); }, "hint"},
      {[](Json& j) { j.erase("dsseEnvelope"); }, "dsseEnvelope"},
      {[](Json& j) { j["dsseEnvelope"] = 7; }, "dsseEnvelope"},
      {[](Json& j) { j["dsseEnvelope"]["payloadType"] = "text/plain"; }, "payloadType"},
      {[](Json& j) { j["dsseEnvelope"]["payload"] = "?"; }, "base64"},
      {[](Json& j) { j["dsseEnvelope"]["signatures"] = Json::array(); }, "signatures"},
      {[](Json& j) { j["dsseEnvelope"]["signatures"].push_back(Json::object()); }, "signatures"},
      {[](Json& j) { j["dsseEnvelope"]["signatures"][0]["sig"] = ""; }, "does not belong"},
      {[](Json& j) { j["dsseEnvelope"]["signatures"][0]["sig"] = "MEQ="; }, "does not belong"},
  };
  for (const auto& [change, expected] : cases) {
    Json changed = bundle_;
    change(changed);
    const auto result = Verify(changed);
    ASSERT_FALSE(result.has_value()) << expected;
    EXPECT_NE(result.error().message.find(expected), std::string::npos) << result.error().message;
  }
  EXPECT_FALSE(Verify(std::string()).has_value());
  EXPECT_FALSE(Verify(std::string("[]")).has_value());
}

/// Random edits of a bundle's text: it is refused, or says what it said before.
TEST_F(SignatureBundle, NoEditChangesWhatItSays) {
  Random random(7);
  int accepted = 0;
  for (int i = 0; i < 4000; ++i) {
    std::string text = text_;
    for (uint64_t edits = 1 + random.NextBelow(3); edits > 0 && !text.empty(); --edits) {
      const size_t at = random.NextBelow(text.size());
      switch (random.NextBelow(4)) {
        case 0:
          text[at] = static_cast<char>(random.NextBelow(256));
          break;
        case 1:
          text.erase(at, 1 + random.NextBelow(40));
          break;
        case 2:
          text.insert(at, 1, "{}[]\",:0 "[random.NextBelow(9)]);
          break;
        default:
          text.insert(at, text.substr(random.NextBelow(text.size()), 20));
          break;
      }
    }
    const auto result = Verify(text);
    if (!result) continue;
    ++accepted;
    ASSERT_EQ(*result, kPayload) << text;
  }
  EXPECT_GT(accepted, 0);  // a space more or a letter of an unsigned field
  EXPECT_LT(accepted, 1000);
}

}  // namespace
}  // namespace unswift
