// A config.json.
#include "fuzz/input.h"
#include "unswift/io/json.h"
#include "unswift/model/model_config.h"

using namespace unswift;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Result<Json> json = ParseJson(AsText(data, size), "fuzz");
  if (json) (void)ParseModelConfig(*json, "fuzz");
  return 0;
}
