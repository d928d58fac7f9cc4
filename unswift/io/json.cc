#include "unswift/io/json.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <optional>
#include <unordered_set>
#include <utility>

#include "unswift/base/mapped_file.h"
#include "unswift/io/text.h"

namespace unswift {
namespace {

/// nlohmann's text without its prefix ("[json.exception...] ") and without the last token, which
/// may be as long as the document.
std::string Reason(std::string_view what) {
  if (const size_t bracket = what.find("] "); bracket != what.npos) what.remove_prefix(bracket + 2);
  return Shorten(what.substr(0, what.find("; last read")));
}

/// Builds the document from parser events. nlohmann's own builder keeps the last of two equal keys
/// and has no depth limit; returning false from an event stops the parser.
template <typename AnyJson>
class DomBuilder : public nlohmann::json_sax<AnyJson> {
 public:
  using Text = typename AnyJson::string_t;

  explicit DomBuilder(int max_depth) : max_depth_(max_depth) {}

  AnyJson TakeRoot() { return std::move(root_); }
  const std::string& failure() const { return failure_; }

  bool null() override { return Put(nullptr); }
  bool boolean(bool value) override { return Put(value); }
  bool number_integer(typename AnyJson::number_integer_t value) override { return Put(value); }
  bool number_unsigned(typename AnyJson::number_unsigned_t value) override { return Put(value); }
  bool number_float(typename AnyJson::number_float_t value, const Text&) override {
    return Put(value);
  }
  bool string(Text& value) override { return Put(std::move(value)); }
  bool binary(typename AnyJson::binary_t&) override { return Fail("binary value"); }
  bool start_object(size_t) override { return Open(AnyJson::object()); }
  bool end_object() override { return Close(); }
  bool start_array(size_t) override { return Open(AnyJson::array()); }
  bool end_array() override { return Close(); }

  bool key(Text& name) override {
    if (!names_.back().insert(name).second) {
      return Fail(fmt::format("expected unique keys, got '{}' twice", Shorten(name)));
    }
    member_ = &Insert(open_.back()->template get_ref<typename AnyJson::object_t&>(), name);
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    return Fail(fmt::format("expected JSON, got at byte {}: {}", position, Reason(error.what())));
  }

 private:
  static Json& Insert(Json::object_t& members, const Text& name) { return members[name]; }
  /// At the end, without the search that ordered_map's own insertion makes.
  static OrderedJson& Insert(OrderedJson::object_t& members, const Text& name) {
    return members.OrderedJson::object_t::Container::emplace_back(name, nullptr).second;
  }

  AnyJson& Place(AnyJson value) {
    if (open_.empty()) return root_ = std::move(value);
    if (!open_.back()->is_array()) return *member_ = std::move(value);
    auto& elements = open_.back()->template get_ref<typename AnyJson::array_t&>();
    return elements.emplace_back(std::move(value));
  }
  bool Put(AnyJson value) {
    Place(std::move(value));
    return true;
  }
  bool Open(AnyJson container) {
    if (std::cmp_greater_equal(open_.size(), max_depth_)) {
      return Fail(fmt::format("expected at most {} levels of nesting, got more", max_depth_));
    }
    open_.push_back(&Place(std::move(container)));
    names_.emplace_back();
    return true;
  }
  bool Close() {
    open_.pop_back();
    names_.pop_back();
    return true;
  }
  bool Fail(std::string why) {
    failure_ = std::move(why);
    return false;
  }

  int max_depth_;
  AnyJson root_;
  AnyJson* member_ = nullptr;   // where the value of the last key goes
  std::vector<AnyJson*> open_;  // an open container's parent does not grow, so these stay valid
  std::vector<std::unordered_set<std::string>> names_;  // the keys of each open object
  std::string failure_;
};

template <typename AnyJson>
Result<AnyJson> Parse(std::string_view text, std::string_view what, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return MakeError(ErrorCode::kInvalidData, "[parse_json] {}: expected at most {} bytes, got {}",
                     what, limits.max_bytes, text.size());
  }
  DomBuilder<AnyJson> builder(limits.max_depth);
  try {
    if (AnyJson::sax_parse(text.data(), text.data() + text.size(), &builder)) {
      return builder.TakeRoot();
    }
  } catch (const std::exception& error) {
    return MakeError(ErrorCode::kInvalidData, "[parse_json] {}: {}", what, Reason(error.what()));
  }
  return MakeError(ErrorCode::kInvalidData, "[parse_json] {}: {}", what, builder.failure());
}

template <typename AnyJson>
Result<std::vector<AnyJson>> ReadLines(const std::filesystem::path& path,
                                       const JsonLimits& limits) {
  UNSWIFT_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, limits.max_bytes));
  std::vector<AnyJson> lines;
  size_t number = 0;
  for (std::string_view rest = text; !rest.empty();) {
    ++number;
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.find_first_not_of(" \t\r") == line.npos) continue;
    UNSWIFT_ASSIGN_OR_RETURN(
        AnyJson json,
        Parse<AnyJson>(line, fmt::format("{}: line {}", path.string(), number), limits));
    lines.push_back(std::move(json));
  }
  return lines;
}

std::optional<int64_t> AsInteger(const Json& value) {
  if (value.is_number_unsigned()) {
    const uint64_t number = value.get<uint64_t>();
    return number <= INT64_MAX ? std::optional<int64_t>(number) : std::nullopt;
  }
  if (value.is_number_integer()) return value.get<int64_t>();
  if (!value.is_number_float()) return std::nullopt;
  const double number = value.get<double>();
  // 4096.0 is an integer that some writer stored as a float; beyond 2^53 the value is not exact.
  if (std::trunc(number) != number || std::abs(number) > 0x1p53) return std::nullopt;
  return static_cast<int64_t>(number);
}

template <typename T>
struct FieldType;
template <>
struct FieldType<bool> {
  static constexpr std::string_view kName = "true or false";
  static std::optional<bool> From(const Json& value) {
    return value.is_boolean() ? std::optional(value.get<bool>()) : std::nullopt;
  }
};
template <>
struct FieldType<int64_t> {
  static constexpr std::string_view kName = "a 64-bit integer";
  static std::optional<int64_t> From(const Json& value) { return AsInteger(value); }
};
template <>
struct FieldType<double> {
  static constexpr std::string_view kName = "a number";
  static std::optional<double> From(const Json& value) {
    return value.is_number() ? std::optional(value.get<double>()) : std::nullopt;
  }
};
template <>
struct FieldType<std::string> {
  static constexpr std::string_view kName = "a string";
  static std::optional<std::string> From(const Json& value) {
    return value.is_string() ? std::optional(value.get<std::string>()) : std::nullopt;
  }
};

/// Null when the key is missing or its value is null.
Result<const Json*> FindField(const Json& object, std::string_view key, std::string_view what) {
  if (!object.is_object()) {
    return MakeError(ErrorCode::kInvalidData,
                     "[get_field] {}: expected an object with '{}', got {}", what, key,
                     object.type_name());
  }
  const auto field = object.find(key);
  return field == object.end() || field->is_null() ? nullptr : &*field;
}

template <typename T>
Result<T> Convert(const Json& value, std::string_view key, std::string_view what) {
  if (std::optional<T> converted = FieldType<T>::From(value)) return *std::move(converted);
  const std::string got = value.is_number()   ? value.dump()
                          : value.is_string() ? "a string"
                                              : value.type_name();
  return MakeError(ErrorCode::kInvalidData, "[get_field] {}: '{}': expected {}, got {}", what, key,
                   FieldType<T>::kName, got);
}

}  // namespace

Result<Json> ParseJson(std::string_view text, std::string_view what, const JsonLimits& limits) {
  return Parse<Json>(text, what, limits);
}

Result<OrderedJson> ParseOrderedJson(std::string_view text, std::string_view what,
                                     const JsonLimits& limits) {
  return Parse<OrderedJson>(text, what, limits);
}

Result<Json> ReadJson(const std::filesystem::path& path, const JsonLimits& limits) {
  UNSWIFT_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, limits.max_bytes));
  return ParseJson(text, path.string(), limits);
}

Result<Json> ReadJson(const FileSet& files, const std::string& name, const JsonLimits& limits) {
  UNSWIFT_ASSIGN_OR_RETURN(const MappedFile file, files.Open(name));
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()),
                              file.bytes().size());
  return ParseJson(text, files.PathOf(name).string(), limits);
}

Result<std::vector<Json>> ReadJsonLines(const std::filesystem::path& path,
                                        const JsonLimits& limits) {
  return ReadLines<Json>(path, limits);
}

Result<std::vector<OrderedJson>> ReadOrderedJsonLines(const std::filesystem::path& path,
                                                      const JsonLimits& limits) {
  return ReadLines<OrderedJson>(path, limits);
}

template <typename T>
Result<T> GetField(const Json& object, std::string_view key, std::string_view what) {
  UNSWIFT_ASSIGN_OR_RETURN(const Json* field, FindField(object, key, what));
  if (field == nullptr) {
    return MakeError(ErrorCode::kNotFound, "[get_field] {}: '{}': expected {}, got nothing", what,
                     key, FieldType<T>::kName);
  }
  return Convert<T>(*field, key, what);
}

template <typename T>
Result<T> GetFieldOr(const Json& object, std::string_view key, T fallback, std::string_view what) {
  UNSWIFT_ASSIGN_OR_RETURN(const Json* field, FindField(object, key, what));
  if (field == nullptr) return fallback;
  return Convert<T>(*field, key, what);
}

Result<> ExpectField(const Json& object, std::string_view key, std::string_view expected,
                     std::string_view what) {
  UNSWIFT_ASSIGN_OR_RETURN(const auto value, GetField<std::string>(object, key, what));
  if (value == expected) return {};
  return MakeError(ErrorCode::kUnsupported, "[get_field] {}: '{}': expected '{}', got '{}'", what,
                   key, expected, Shorten(value));
}

template Result<bool> GetField(const Json&, std::string_view, std::string_view);
template Result<int64_t> GetField(const Json&, std::string_view, std::string_view);
template Result<double> GetField(const Json&, std::string_view, std::string_view);
template Result<std::string> GetField(const Json&, std::string_view, std::string_view);
template Result<bool> GetFieldOr(const Json&, std::string_view, bool, std::string_view);
template Result<int64_t> GetFieldOr(const Json&, std::string_view, int64_t, std::string_view);
template Result<double> GetFieldOr(const Json&, std::string_view, double, std::string_view);
template Result<std::string> GetFieldOr(const Json&, std::string_view, std::string,
                                        std::string_view);

}  // namespace unswift
