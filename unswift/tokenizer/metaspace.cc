#include "unswift/tokenizer/metaspace.h"

namespace unswift {
namespace {

Result<MetaspacePrepend> ParsePrepend(std::string_view scheme, const PartContext& context) {
  if (scheme == "always") return MetaspacePrepend::kAlways;
  if (scheme == "first") return MetaspacePrepend::kFirst;
  if (scheme == "never") return MetaspacePrepend::kNever;
  return UnsupportedPart("Metaspace prepend_scheme", scheme, {"always", "first", "never"}, context);
}

}  // namespace

Result<MetaspaceSettings> MetaspaceSettings::FromJson(const Json& json,
                                                      const PartContext& context) {
  MetaspaceSettings settings;
  UNSWIFT_ASSIGN_OR_RETURN(settings.replacement, PartCharacter(json, "replacement", context));
  UNSWIFT_ASSIGN_OR_RETURN(settings.split, PartFieldOr<bool>(json, "split", true, context));
  UNSWIFT_ASSIGN_OR_RETURN(const bool add_prefix_space,
                           PartFieldOr<bool>(json, "add_prefix_space", true, context));
  const std::string fallback = add_prefix_space ? "always" : "never";
  UNSWIFT_ASSIGN_OR_RETURN(const std::string scheme,
                           PartFieldOr<std::string>(json, "prepend_scheme", fallback, context));
  UNSWIFT_ASSIGN_OR_RETURN(settings.prepend, ParsePrepend(scheme, context));
  if (!add_prefix_space && settings.prepend != MetaspacePrepend::kNever) {
    return MakeError(ErrorCode::kInvalidData,
                     "[open_tokenizer] {}: Metaspace: expected prepend_scheme 'never' beside "
                     "add_prefix_space false, got '{}'",
                     context.what, scheme);
  }
  return settings;
}

}  // namespace unswift
