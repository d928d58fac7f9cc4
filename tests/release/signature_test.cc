// Signed releases: what a runtime that requires a signature takes, and 10,000 random changes that
// it does not.
#include "unswift/release/reader/signature.h"

#include <gtest/gtest.h>

#include "tests/base/expect_error.h"
#include "tests/testing/test_data.h"
#include "tests/testing/tiny_model.h"
#include "unswift/base/random.h"
#include "unswift/provenance/seal.h"
#include "unswift/provenance/signature_bundle.h"
#include "unswift/release/reader/expiry.h"
#include "unswift/release/reader/open_model.h"

namespace unswift {
namespace {

namespace fs = std::filesystem;

class SignedRelease : public testing::Test {
 protected:
  SignedRelease() {
    fs::create_directory(release_);
    TinyModel tiny = MakeTinyLlama(/*seed=*/1, /*tied=*/true);
    WriteTinyModel(tiny, release_);
    WriteManifest({});
    EXPECT_TRUE(Succeeds(WriteKeyPair(key_, dir_ / "key", /*replace=*/false)));
    options_.require_signature = dir_ / "key.pub";
  }

  /// Files that pass for a release until tensors are looked at, which is after these tests end.
  void WriteManifest(Manifest manifest) {
    manifest.layers = {SeriesLayer{.protected_units = 1, .features = 2}};
    fs::remove(release_ / kManifestName);
    manifest.files = DigestFiles(FileSet(release_), pool_).value();
    WriteTextFile(release_ / kManifestName, ManifestToJson(manifest).dump(2) + "\n");
  }

  void Sign() { ASSERT_TRUE(Succeeds(SignModel(release_, key_, /*replace=*/true, pool_))); }

  Result<OpenedFiles> Open() { return OpenModelFiles(release_, options_, pool_); }

  testing::AssertionResult Refused(std::string_view part,
                                   ErrorCode code = ErrorCode::kInvalidData) {
    return FailsWith(Open(), code, part);
  }

  TempDir dir_;
  fs::path release_ = dir_ / "release";
  ThreadPool pool_{1};
  PrivateKey key_ = PrivateKey::Generate(KeyType::kSigning).value();
  OpenModelOptions options_;
};

TEST_F(SignedRelease, IsTakenOnlyWithItsSignature) {
  EXPECT_TRUE(Refused("expected a signature, got none", ErrorCode::kNotFound));
  Sign();
  EXPECT_TRUE(Succeeds(Open()));
  EXPECT_TRUE(FailsWith(SignModel(release_, key_, /*replace=*/false, pool_),
                        ErrorCode::kAlreadyExists, "unswift.sig"));
  const PrivateKey other = PrivateKey::Generate(KeyType::kSigning).value();
  ASSERT_TRUE(Succeeds(SignModel(release_, other, /*replace=*/true, pool_)));
  EXPECT_TRUE(Refused("expected one by key"));
  options_.require_signature = dir_ / "absent";
  EXPECT_TRUE(Refused("absent", ErrorCode::kNotFound));
}

TEST_F(SignedRelease, RefusalComesBeforeAnyTensor) {
  WriteTextFile(release_ / "model.safetensors", "no tensors at all");
  EXPECT_TRUE(FailsWith(OpenModel(release_, options_, pool_), ErrorCode::kNotFound, "signature"));
  EXPECT_TRUE(FailsWith(SignModel(release_, key_, /*replace=*/false, pool_),
                        ErrorCode::kInvalidData, "does not match the manifest"));
  EXPECT_FALSE(fs::exists(release_ / kSignatureName));
}

TEST_F(SignedRelease, ChangesAreNamed) {
  Sign();
  const std::string config = ReadTextFile(release_ / "config.json");
  WriteTextFile(release_ / "config.json", config + " ");
  EXPECT_TRUE(Refused("config.json: not what was signed"));
  WriteTextFile(release_ / "config.json", config);
  WriteTextFile(release_ / "extra", "");
  EXPECT_TRUE(Refused("extra: not signed"));
  fs::rename(release_ / "extra", release_ / "unswift.json.bak");
  EXPECT_TRUE(Refused("not signed"));
  fs::remove(release_ / "unswift.json.bak");
  fs::rename(release_ / "config.json", release_ / "config2.json");
  EXPECT_TRUE(Refused("config.json: signed, but missing"));
  fs::create_symlink("config2.json", release_ / "config.json");
  EXPECT_TRUE(Refused("config.json: expected a regular file"));
  fs::remove(release_ / "config.json");
  fs::rename(release_ / "config2.json", release_ / "config.json");
  EXPECT_TRUE(Succeeds(Open()));
  fs::remove(release_ / kManifestName);  // as a plain model it is not what was signed either
  EXPECT_TRUE(Refused("unswift.json: signed, but missing"));
}

TEST_F(SignedRelease, NoFileMayBeALink) {
  Sign();
  for (const char* name : {kManifestName, kSignatureName}) {
    fs::rename(release_ / name, dir_ / "elsewhere");
    fs::create_symlink(dir_ / "elsewhere", release_ / name);
    EXPECT_TRUE(Refused("expected a regular file")) << name;
    fs::remove(release_ / name);
    fs::rename(dir_ / "elsewhere", release_ / name);
  }
  EXPECT_TRUE(Succeeds(Open()));
}

TEST_F(SignedRelease, AStatementThatLeavesTheDirectoryIsRefused) {
  WriteTextFile(dir_ / "outside", "x");
  std::vector<SignedFile> files = {{"../outside", std::string(64, '0')}};
  WriteTextFile(release_ / kSignatureName, SignPayload(MakeStatement("m", files), key_).value());
  EXPECT_TRUE(Refused("../outside"));
}

TEST_F(SignedRelease, OlderVersionsCanBeRefused) {
  WriteManifest({.release_version = 3});
  Sign();
  options_.min_version = 3;
  EXPECT_TRUE(Succeeds(Open()));
  options_.min_version = 4;
  EXPECT_TRUE(Refused("release version 4 or later, got 3", ErrorCode::kInvalidArgument));
  // The number is signed: raising it breaks the signature.
  WriteManifest({.release_version = 4});
  EXPECT_TRUE(Refused("unswift.json: not what was signed"));
  WriteManifest({});
  Sign();
  EXPECT_TRUE(Refused("got none", ErrorCode::kInvalidArgument));
  options_.require_signature.reset();
  EXPECT_TRUE(Refused("--require-signature", ErrorCode::kInvalidArgument));
}

TEST_F(SignedRelease, ExpiredReleasesAskNotToBeRun) {
  options_.require_signature.reset();
  WriteManifest({.expires = "2001-02-03"});
  EXPECT_TRUE(Refused("expired on 2001-02-03", ErrorCode::kInvalidArgument));
  options_.ignore_expiry = true;
  EXPECT_TRUE(Succeeds(Open()));
  options_.ignore_expiry = false;
  WriteManifest({.expires = "9999-12-31"});
  EXPECT_TRUE(Succeeds(Open()));
  WriteManifest({.expires = "next year"});
  EXPECT_TRUE(Refused("expected a date like 2027-01-31", ErrorCode::kInvalidArgument));
}

TEST(Expiry, TheLastDayCounts) {
  const auto day = [](const char* text) { return ParseDate(text, "x").value(); };
  Manifest manifest;
  EXPECT_TRUE(Succeeds(CheckExpiry(manifest, day("9999-12-31"))));
  manifest.expires = "2028-02-29";
  EXPECT_TRUE(Succeeds(CheckExpiry(manifest, day("2028-02-28"))));
  EXPECT_TRUE(Succeeds(CheckExpiry(manifest, day("2028-02-29"))));
  EXPECT_FALSE(CheckExpiry(manifest, day("2028-03-01")).has_value());
  for (const char* bad : {"", "2028-2-29", "2027-02-29", "2027-13-01", "2027-00-10", "2027-01-01 ",
                          "27-01-01", "2027/01/01", "2027-01-+1", "tomorrow"}) {
    EXPECT_FALSE(ParseDate(bad, "x").has_value()) << bad;
  }
}

TEST_F(SignedRelease, TravelsSealed) {
  WriteManifest({.release_version = 2, .recipient = "ACME"});
  Sign();
  const PrivateKey sealing = PrivateKey::Generate(KeyType::kSealing).value();
  ASSERT_TRUE(Succeeds(WriteKeyPair(sealing, dir_ / "open", /*replace=*/false)));
  std::vector<PublicKey> to;
  to.push_back(PublicKey::Read(dir_ / "open.pub", KeyType::kSealing).value());
  const fs::path sealed = dir_ / "sealed";
  ASSERT_TRUE(Succeeds(Seal(FileSet(release_), to, {}, sealed, pool_, {})));
  EXPECT_TRUE(FailsWith(OpenModelFiles(sealed, options_, pool_), ErrorCode::kInvalidArgument,
                        "--unseal-key"));
  options_.unseal_key = dir_ / "open";
  options_.min_version = 2;
  const auto opened = OpenModelFiles(sealed, options_, pool_);
  ASSERT_TRUE(Succeeds(opened));
  EXPECT_EQ(opened->manifest->recipient, "ACME");
  // Sealed without a signature: who sealed it proves nothing.
  fs::remove(release_ / kSignatureName);
  ASSERT_TRUE(Succeeds(Seal(FileSet(release_), to, {.replace = true}, sealed, pool_, {})));
  EXPECT_TRUE(
      FailsWith(OpenModelFiles(sealed, options_, pool_), ErrorCode::kNotFound, "signature"));
}

using Files = std::map<std::string, std::string>;

/// One random change of a release; returns what was done.
std::string Mutate(Files& files, const Files& originals, Random& random) {
  const auto pick = [&] {
    return std::next(originals.begin(), random.NextBelow(originals.size()))->first;
  };
  const std::string name = pick();
  std::string& text = files[name];
  const size_t at = random.NextBelow(text.size());
  switch (random.NextBelow(9)) {
    case 0:
    case 1:
    case 2:
      text[at] ^= static_cast<char>(1 << random.NextBelow(8));
      return "flip a bit of " + name;
    case 3:
      text.resize(at);
      return "cut " + name;
    case 4:
      text += static_cast<char>(random.NextBelow(256));
      return "append to " + name;
    case 5:
      text.erase(at, 1 + random.NextBelow(16));
      return "erase from " + name;
    case 6:
      files.erase(name);
      return "remove " + name;
    case 7: {
      const bool rename = random.NextBelow(2) == 0;
      files["x" + std::to_string(random.NextU64())] = text;
      if (rename) files.erase(name);
      return (rename ? "rename " : "copy ") + name;
    }
    default: {
      const std::string other = pick();
      text = other == name ? "" : originals.at(other);
      return "put another file in place of " + name;
    }
  }
}

TEST_F(SignedRelease, TenThousandMutations) {
  WriteManifest({.release_version = 1});
  Sign();
  Files originals;
  const std::vector<std::string> names = FileSet(release_).Names().value();
  for (const std::string& name : names) originals[name] = ReadTextFile(release_ / name);
  const PublicKey& signer = key_.public_key();
  const auto says = [&](const Files& files) {
    return VerifyBundle(files.at(kSignatureName), "x", signer).value();
  };
  const auto authenticate = [&](const Files& files) {
    FileSet::Memory views;
    for (const auto& [name, text] : files) views[name] = std::as_bytes(std::span(text));
    return AuthenticateFiles(FileSet("release", std::move(views), nullptr), &signer,
                             /*check_digests=*/true, pool_);
  };
  ASSERT_TRUE(Succeeds(authenticate(originals)));
  Random random(2024);
  int refused = 0, outside = 0;
  for (int i = 0; i < 10'000; ++i) {
    Files files = originals;
    const std::string what = Mutate(files, originals, random);
    if (!authenticate(files)) {
      ++refused;
      continue;
    }
    // The one file outside the signed set is the signature's own. Some of its bytes mean nothing
    // (white space, an empty key id): it still says what it said.
    ++outside;
    ASSERT_EQ(says(files), says(originals)) << what;
    files[kSignatureName] = originals[kSignatureName];
    ASSERT_EQ(files, originals) << what;
  }
  RecordProperty("refused", refused);
  RecordProperty("outside_the_signed_set", outside);
  EXPECT_LT(outside, 100);
}

}  // namespace
}  // namespace unswift
