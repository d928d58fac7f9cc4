#include "unswift/jinja/template.h"

#include "unswift/io/text.h"
#include "unswift/jinja/interpreter.h"

namespace unswift::jinja {

struct Template::Parsed {
  std::string what;
  Limits limits;
  Block block;
};

Result<Template> Template::Parse(std::string_view source, std::string what, const Limits& limits) {
  const auto fail = [&](const Error& error) {
    return MakeError(error.code, "[parse_template] {}: {}", what, error.message);
  };
  if (!IsValidUtf8(source)) return fail({ErrorCode::kInvalidData, "expected UTF-8"});
  Result<Block> block = ParseTemplate(source, limits);
  if (!block) return fail(block.error());
  Template parsed;
  parsed.parsed_ =
      std::make_shared<const Parsed>(Parsed{std::move(what), limits, *std::move(block)});
  return parsed;
}

Result<std::string> Template::Render(const OrderedJson& variables, std::time_t now) const {
  Runtime runtime = {Budget(parsed_->limits), now, {}};
  const auto render = [&]() -> Result<std::string> {
    UNSWIFT_ASSIGN_OR_RETURN(const Value value, FromJson(variables, runtime.budget));
    if (value.AsDict() == nullptr) {
      return MakeError(ErrorCode::kInvalidArgument, "expected an object of variables");
    }
    return Interpreter(runtime).Run(parsed_->block, *value.AsDict());
  };
  Result<std::string> text = render();
  if (text) return text;
  return MakeError(text.error().code, "[render_template] {}: {}", parsed_->what,
                   text.error().message);
}

}  // namespace unswift::jinja
