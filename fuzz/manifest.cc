// A release's unswift.json: what is accepted is written and read again.
#include "unswift/release/reader/manifest.h"
#include "unswift/io/json.h"

#include "fuzz/input.h"

using namespace unswift;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Result<Json> json = ParseJson(AsText(data, size), "fuzz");
  if (!json) return 0;
  const Result<Manifest> manifest = ManifestFromJson(*json, "fuzz");
  if (!manifest) return 0;
  const Json written = ManifestToJson(*manifest);
  const Result<Manifest> again = ManifestFromJson(written, "fuzz");
  UNSWIFT_CHECK(again && ManifestToJson(*again) == written);
  return 0;
}
