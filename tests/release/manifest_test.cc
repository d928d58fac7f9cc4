#include "unswift/release/reader/manifest.h"
#include "unswift/io/json.h"

#include <gtest/gtest.h>

#include "tests/testing/test_data.h"

namespace unswift {
namespace {

Manifest Example() {
  Manifest manifest;
  manifest.generator = "unswift test";
  manifest.basis = SeriesBasis::kTaylor;
  manifest.guard = SeriesGuard::kTruncate;
  manifest.cutoff = 2.5;
  manifest.cutoff_order = 2;
  manifest.theta_dtype = DType::kBF16;
  manifest.mean_order = 7.5;
  manifest.predicted_slowdown = 3.25;
  manifest.recipient = "ACME";
  SeriesLayer layer;
  layer.layer = 4;
  layer.protected_units = 10;
  layer.features = 85;
  manifest.layers = {layer};
  manifest.files = {{"a.json", 3, std::string(64, 'a')},
                    {"b.safetensors", 9, std::string(64, '0')}};
  return manifest;
}

TEST(Manifest, RoundTrip) {
  const Json json = ManifestToJson(Example());
  const auto read = ManifestFromJson(json, "unswift.json");
  ASSERT_TRUE(read.has_value()) << read.error().message;
  EXPECT_EQ(ManifestToJson(*read), json);
  EXPECT_EQ(read->layers[0].basis, SeriesBasis::kTaylor);
  EXPECT_EQ(read->layers[0].cutoff, 2.5);
}

TEST(Manifest, RefusesWhatItCannotTrust) {
  using Change = void (*)(Json&);
  const std::pair<Change, const char*> cases[] = {
      {[](Json& j) { j["format"] = "other"; }, "format"},
      {[](Json& j) { j["format_version"] = 2; }, "version 2"},
      {[](Json& j) { j.erase("series"); }, "basis"},
      {[](Json& j) { j["series"]["basis"] = "fourier"; }, "known: chebyshev, taylor"},
      {[](Json& j) { j["series"]["guard"] = "none at all"; }, "guard"},
      {[](Json& j) { j["series"]["dtype"] = "i8"; }, "dtype"},
      {[](Json& j) { j["series"]["layers"] = Json::array(); }, "layers"},
      {[](Json& j) { j["series"]["layers"][0]["features"] = "many"; }, "features"},
      {[](Json& j) { j.erase("files"); }, "list"},
      {[](Json& j) { j["files"][0]["path"] = "../x"; }, "../x"},
      {[](Json& j) { j["files"][0]["path"] = "/etc/passwd"; }, "plain file name"},
      {[](Json& j) { j["files"][0]["path"] = ".."; }, "plain file name"},
      {[](Json& j) { j["files"][0]["path"] = "unswift.json"; }, "plain file name"},
      {[](Json& j) { j["files"][0]["sha256"] = "abc"; }, "SHA-256"},
      {[](Json& j) { j["files"][1] = j["files"][0]; }, "unique"},
  };
  for (const auto& [change, expected] : cases) {
    Json json = ManifestToJson(Example());
    change(json);
    const auto read = ManifestFromJson(json, "unswift.json");
    ASSERT_FALSE(read.has_value()) << expected;
    EXPECT_NE(read.error().message.find(expected), std::string::npos) << read.error().message;
  }
}

TEST(CheckDigests, SeesChangedAddedAndMissingFiles) {
  ThreadPool pool(2);
  const TempDir directory;
  WriteTextFile(directory / "a.json", "abc");
  WriteTextFile(directory / "b.bin", std::string(100000, 'x'));
  Manifest manifest = Example();
  manifest.files = DigestFiles(directory.path(), pool).value();
  ASSERT_EQ(manifest.files.size(), 2u);
  WriteTextFile(directory / kManifestName, "not part of itself");
  EXPECT_EQ(manifest.files[0].sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const auto problem = [&] {
    const Result<> result = CheckDigests(directory.path(), manifest, pool);
    return result ? std::string() : result.error().message;
  };
  EXPECT_EQ(problem(), "");
  WriteTextFile(directory / "a.json", "abd");
  EXPECT_NE(problem().find("a.json: content"), std::string::npos);
  WriteTextFile(directory / "a.json", "abc");
  WriteTextFile(directory / "c.txt", "");
  EXPECT_NE(problem().find("c.txt: not listed"), std::string::npos);
  std::filesystem::remove(directory / "c.txt");
  std::filesystem::remove(directory / "a.json");
  EXPECT_NE(problem().find("a.json: listed in the manifest, but missing"), std::string::npos);
  std::filesystem::create_symlink("b.bin", directory / "a.json");
  EXPECT_NE(problem().find("regular file"), std::string::npos);
}

}  // namespace
}  // namespace unswift
