// Chat templates: the part of Jinja that they use, as transformers sets it up (trim_blocks,
// lstrip_blocks, an immutable sandbox, tojson as json.dumps, raise_exception, strftime_now,
// generation blocks).
//
// Not here, and an error that says so: template inheritance, include and import, call blocks,
// recursive loops, * arguments, autoescape, formatting with %. `safe` changes nothing.
#pragma once

#include <ctime>
#include <memory>
#include <string>
#include <string_view>

#include "unswift/base/result.h"
#include "unswift/io/json_fwd.h"
#include "unswift/jinja/budget.h"

namespace unswift::jinja {

class Template {
 public:
  /// Errors: kInvalidData (not UTF-8, syntax, too large or too deep), kUnsupported (a statement),
  /// as "[parse_template] WHAT: line N: ...".
  static Result<Template> Parse(std::string_view source, std::string what,
                                const Limits& limits = {});

  /// Renders with the members of `variables` (an object) as the template's variables. `now` is
  /// what strftime_now tells, in local time.
  /// Errors: kInvalidArgument (raise_exception, an undefined value used, a wrong type),
  /// kUnsupported (an unknown filter, test or function), kInvalidData (beyond the limits), as
  /// "[render_template] WHAT: line N: ...".
  /// Cost: within the limits of `limits`, whatever the template does. Safe to call from many
  /// threads.
  Result<std::string> Render(const OrderedJson& variables,
                             std::time_t now = std::time(nullptr)) const;

 private:
  struct Parsed;
  std::shared_ptr<const Parsed> parsed_;
};

}  // namespace unswift::jinja
