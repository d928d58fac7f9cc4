// How the parts of a tokenizer.json (normalizer, pre-tokenizer, ...) are read: each family has one
// table of rows, and a new part is a new row.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "unswift/base/result.h"
#include "unswift/io/json_fwd.h"

namespace unswift {

/// Where a part stands: the file's name for messages, and how many Sequences are around it.
struct PartContext {
  std::string_view what;
  int depth = 0;
};

/// GetField and GetFieldOr for parts: strings are checked to be UTF-8, and a missing field is
/// kInvalidData (the file is there, it is just wrong). T: bool, int64_t, double, std::string.
template <typename T>
Result<T> PartField(const Json& part, std::string_view key, const PartContext& context);
template <typename T>
Result<T> PartFieldOr(const Json& part, std::string_view key, T fallback,
                      const PartContext& context);

/// A string field that holds exactly one character (as UTF-8).
Result<std::string> PartCharacter(const Json& part, std::string_view key,
                                  const PartContext& context);

/// The member `key`; null when it is missing or null, or `object` is no object.
const Json* FindMember(const Json& object, std::string_view key);
/// The same, with a null value in place of a null pointer.
const Json& MemberOrNull(const Json& object, std::string_view key);

/// The array member `key`. Errors: kInvalidData.
Result<const Json*> PartArray(const Json& part, std::string_view key, const PartContext& context);

template <typename Part>
struct PartRow {
  std::string_view type;
  Result<std::unique_ptr<Part>> (*make)(const Json& json, const PartContext& context);
};

/// The "type" of a part that stands at an acceptable depth.
Result<std::string> PartType(const Json& json, std::string_view family, const PartContext& context);

tl::unexpected<Error> UnsupportedPart(std::string_view family, std::string_view type,
                                      const std::vector<std::string_view>& supported,
                                      const PartContext& context);

/// Makes the part that json's "type" names. Errors: kUnsupported with the types of the table.
template <typename Part>
Result<std::unique_ptr<Part>> MakePart(const Json& json, std::string_view family,
                                       std::span<const PartRow<Part>> rows,
                                       const PartContext& context) {
  UNSWIFT_ASSIGN_OR_RETURN(const std::string type, PartType(json, family, context));
  std::vector<std::string_view> supported;
  for (const PartRow<Part>& row : rows) {
    if (row.type == type) return row.make(json, {context.what, context.depth + 1});
    supported.push_back(row.type);
  }
  return UnsupportedPart(family, type, supported, context);
}

/// The elements of the array member `key`, of which there may not be too many. Errors:
/// kInvalidData.
Result<std::vector<const Json*>> SequenceParts(const Json& sequence, std::string_view key,
                                               const PartContext& context);

/// Makes every part of the array member `key` of a Sequence.
template <typename Part>
Result<std::vector<std::unique_ptr<Part>>> MakeParts(
    const Json& sequence, std::string_view key, const PartContext& context,
    Result<std::unique_ptr<Part>> (*make)(const Json& json, const PartContext& context)) {
  UNSWIFT_ASSIGN_OR_RETURN(const std::vector<const Json*> elements,
                           SequenceParts(sequence, key, context));
  std::vector<std::unique_ptr<Part>> parts;
  for (const Json* json : elements) {
    UNSWIFT_ASSIGN_OR_RETURN(std::unique_ptr<Part> part, make(*json, context));
    parts.push_back(std::move(part));
  }
  return parts;
}

}  // namespace unswift
