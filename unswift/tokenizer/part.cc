#include "unswift/tokenizer/part.h"

#include <fmt/ranges.h>

#include <type_traits>
#include <utility>

#include "unswift/io/json.h"
#include "unswift/io/text.h"
#include "unswift/tokenizer/utf8.h"

namespace unswift {
namespace {

constexpr int kMaxDepth = 16;
constexpr size_t kMaxParts = 64;

template <typename T>
Result<T> Check(Result<T> field, std::string_view key, const PartContext& context) {
  if (!field && field.error().code == ErrorCode::kNotFound) {
    return MakeError(ErrorCode::kInvalidData, "{}", field.error().message);
  }
  if constexpr (std::is_same_v<T, std::string>) {
    if (field && !IsValidUtf8(*field)) {
      return MakeError(ErrorCode::kInvalidData,
                       "[open_tokenizer] {}: '{}': expected UTF-8, got other bytes", context.what,
                       key);
    }
  }
  return field;
}

}  // namespace

template <typename T>
Result<T> PartField(const Json& part, std::string_view key, const PartContext& context) {
  return Check<T>(GetField<T>(part, key, context.what), key, context);
}

template <typename T>
Result<T> PartFieldOr(const Json& part, std::string_view key, T fallback,
                      const PartContext& context) {
  return Check<T>(GetFieldOr<T>(part, key, std::move(fallback), context.what), key, context);
}

template Result<bool> PartField(const Json&, std::string_view, const PartContext&);
template Result<int64_t> PartField(const Json&, std::string_view, const PartContext&);
template Result<std::string> PartField(const Json&, std::string_view, const PartContext&);
template Result<bool> PartFieldOr(const Json&, std::string_view, bool, const PartContext&);
template Result<double> PartFieldOr(const Json&, std::string_view, double, const PartContext&);
template Result<int64_t> PartFieldOr(const Json&, std::string_view, int64_t, const PartContext&);
template Result<std::string> PartFieldOr(const Json&, std::string_view, std::string,
                                         const PartContext&);

Result<std::string> PartCharacter(const Json& part, std::string_view key,
                                  const PartContext& context) {
  UNSWIFT_ASSIGN_OR_RETURN(std::string text, PartField<std::string>(part, key, context));
  if (!IsOneCharacter(text)) {
    return MakeError(ErrorCode::kInvalidData,
                     "[open_tokenizer] {}: '{}': expected one character, got {} bytes",
                     context.what, key, text.size());
  }
  return text;
}

const Json* FindMember(const Json& object, std::string_view key) {
  if (!object.is_object()) return nullptr;
  const auto member = object.find(key);
  return member == object.end() || member->is_null() ? nullptr : &*member;
}

const Json& MemberOrNull(const Json& object, std::string_view key) {
  static const Json null;
  const Json* member = FindMember(object, key);
  return member == nullptr ? null : *member;
}

Result<const Json*> PartArray(const Json& part, std::string_view key, const PartContext& context) {
  const Json* array = FindMember(part, key);
  if (array == nullptr || !array->is_array()) {
    return MakeError(ErrorCode::kInvalidData,
                     "[open_tokenizer] {}: '{}': expected an array, got {}", context.what, key,
                     array == nullptr ? "nothing" : array->type_name());
  }
  return array;
}

Result<std::string> PartType(const Json& json, std::string_view family,
                             const PartContext& context) {
  if (context.depth > kMaxDepth) {
    return MakeError(ErrorCode::kInvalidData,
                     "[open_tokenizer] {}: {}: expected at most {} nested sequences, got more",
                     context.what, family, kMaxDepth);
  }
  if (!json.is_object()) {
    return MakeError(ErrorCode::kInvalidData, "[open_tokenizer] {}: {}: expected an object, got {}",
                     context.what, family, json.type_name());
  }
  return PartField<std::string>(json, "type", context);
}

Result<std::vector<const Json*>> SequenceParts(const Json& sequence, std::string_view key,
                                               const PartContext& context) {
  UNSWIFT_ASSIGN_OR_RETURN(const Json* array, PartArray(sequence, key, context));
  if (array->size() > kMaxParts) {
    return MakeError(ErrorCode::kInvalidData,
                     "[open_tokenizer] {}: '{}': expected at most {} parts, got {}", context.what,
                     key, kMaxParts, array->size());
  }
  std::vector<const Json*> parts;
  for (const Json& part : *array) parts.push_back(&part);
  return parts;
}

tl::unexpected<Error> UnsupportedPart(std::string_view family, std::string_view type,
                                      const std::vector<std::string_view>& supported,
                                      const PartContext& context) {
  return MakeError(ErrorCode::kUnsupported, "[open_tokenizer] {}: {} type '{}': expected one of {}",
                   context.what, family, Shorten(type), fmt::join(supported, ", "));
}

}  // namespace unswift
