// A file of prompts, one JSON object a line; conversations are rendered.
#include "unswift/runtime/prompts.h"

#include "fuzz/input.h"
#include "unswift/io/text.h"

using namespace unswift;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ChatTemplate chat_template =
      ChatTemplate::FromText(
          "{% for m in messages %}{{ m.role + m['content'] }}{% endfor %}{{ tools }}", "fuzz")
          .value();
  const MemoryFile file(data, size);
  const auto prompts = ReadPrompts(file.path());
  if (!prompts) return 0;
  UNSWIFT_CHECK(!prompts->empty());
  for (const Prompt& prompt : *prompts) {
    if (const auto* ids = std::get_if<std::vector<int32_t>>(&prompt)) {
      UNSWIFT_CHECK(!ids->empty());
      for (const int32_t id : *ids) UNSWIFT_CHECK(id >= 0);
    }
    if (const auto* chat = std::get_if<Chat>(&prompt)) {
      const auto text = chat_template.Render(*chat, /*add_generation_prompt=*/true);
      if (text) UNSWIFT_CHECK(IsValidUtf8(*text));
    }
  }
  return 0;
}
