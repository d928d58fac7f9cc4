// A JSON document, in both orders of its members; what parses is written and parsed again.
#include "unswift/io/json.h"

#include "fuzz/input.h"

using namespace unswift;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = AsText(data, size);
  const Result<Json> json = ParseJson(text, "fuzz");
  const Result<OrderedJson> ordered = ParseOrderedJson(text, "fuzz");
  UNSWIFT_CHECK(json.has_value() == ordered.has_value());
  if (!json) return 0;
  const Result<Json> again = ParseJson(ordered->dump(), "fuzz");
  UNSWIFT_CHECK(again && *again == *json);
  for (const char* key : {"a", "model_type", ""}) {
    (void)GetField<bool>(*json, key, "fuzz");
    (void)GetField<int64_t>(*json, key, "fuzz");
    (void)GetField<double>(*json, key, "fuzz");
    (void)GetFieldOr<std::string>(*json, key, "", "fuzz");
  }
  return 0;
}
