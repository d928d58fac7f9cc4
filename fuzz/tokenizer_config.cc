// A tokenizer_config.json: its chat templates (by themselves the target chat_template), rendered
// with its special tokens.
#include "fuzz/input.h"
#include "unswift/io/text.h"
#include "unswift/tokenizer/chat_template.h"

using namespace unswift;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const FileSet model("fuzz", {{"tokenizer_config.json", std::as_bytes(std::span(data, size))}},
                      nullptr);
  const Result<ChatTemplate> chat_template = ChatTemplate::Open(model);
  if (!chat_template) return 0;
  Chat chat;
  chat.messages.emplace_back().role = "user";
  chat.messages.back().content = "Hi";
  for (const bool tools : {false, true}) {
    if (tools) chat.tools = OrderedJson::array();
    const auto text = chat_template->Render(chat, /*add_generation_prompt=*/true);
    if (text) UNSWIFT_CHECK(IsValidUtf8(*text));
  }
  return 0;
}
