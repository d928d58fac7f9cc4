// A tokenizer.json: made into a tokenizer, which encodes and decodes texts of its own and fixed
// ones.
#include "unswift/tokenizer/tokenizer.h"
#include "unswift/io/json.h"

#include "fuzz/input.h"
#include "unswift/io/text.h"

using namespace unswift;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Result<Json> json = ParseJson(AsText(data, size), "fuzz");
  if (!json) return 0;
  const Result<Tokenizer> tokenizer = Tokenizer::FromJson(*json, "fuzz");
  if (!tokenizer) return 0;
  for (const std::string_view text :
       {std::string_view("Hello  world 123\n"), std::string_view("\xE4\xBD\xA0 \xF0\x9F\x98\x80"),
        std::string_view("<s>a b ab"), std::string_view("a\0b", 3), std::string_view()}) {
    const auto ids = tokenizer->Encode(text, true);
    if (!ids) continue;
    for (const bool skip : {false, true}) {
      const std::string decoded = tokenizer->Decode(*ids, skip);
      StreamDecoder stream(*tokenizer, skip);
      std::string streamed;
      for (const int32_t id : *ids) {
        const std::string piece = stream.Append(id);
        UNSWIFT_CHECK(IsValidUtf8(piece));
        streamed += piece;
      }
      streamed += stream.Finish();
      UNSWIFT_CHECK(streamed == decoded);
    }
  }
  return 0;
}
