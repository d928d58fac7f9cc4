// A chat template: parsed, and rendered on conversations with and without tools.
#include "unswift/tokenizer/chat_template.h"

#include "fuzz/input.h"
#include "unswift/io/text.h"

using namespace unswift;

namespace {

jinja::Limits SmallLimits() {
  jinja::Limits limits;  // so that one input takes milliseconds
  limits.max_steps = 20'000;
  limits.max_bytes = int64_t{4} << 20;
  return limits;
}

const OrderedJson& Variables(bool tools) {
  static const OrderedJson plain = OrderedJson::parse(R"({"bos_token": "<s>", "tools": null,
      "eos_token": "</s>", "add_generation_prompt": true, "messages": [
      {"role": "system", "content": " Be \"brief\"\n"}, {"role": "user", "content": "H\u00e9 {{"},
      {"role": "assistant", "content": "<think>x</think>y"}, {"role": "user", "content": ""}]})");
  static const OrderedJson with_tools = [] {
    OrderedJson json = plain;
    json["tools"] = OrderedJson::parse(R"([{"type": "function", "function": {"name": "f",
        "description": "d", "parameters": {"type": "object", "properties": {"b": {"type": "x"}}}}}])");
    json["messages"].push_back(OrderedJson::parse(R"({"role": "assistant", "content": null,
        "tool_calls": [{"id": "abcdef123", "function": {"name": "f", "arguments": {"b": [1, 2.5]}}}]})"));
    json["messages"].push_back(OrderedJson::parse(
        R"({"role": "tool", "content": {"content": 1}, "tool_call_id": "abcdef123"})"));
    return json;
  }();
  return tools ? with_tools : plain;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto parsed = jinja::Template::Parse(AsText(data, size), "fuzz", SmallLimits());
  if (!parsed) return 0;
  for (const bool tools : {false, true}) {
    const Result<std::string> text = parsed->Render(Variables(tools), 0);
    if (text) UNSWIFT_CHECK(IsValidUtf8(*text));
  }
  return 0;
}
