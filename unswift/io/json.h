// JSON of outside origin, with limits.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "unswift/base/file_set.h"
#include "unswift/base/result.h"
#include "unswift/io/json_fwd.h"

namespace unswift {

struct JsonLimits {
  size_t max_bytes = size_t{256} << 20;
  int max_depth = 64;
};

/// Parses one JSON document. Errors: kInvalidData for too large, too deep, a duplicate key, not
/// UTF-8, or bad syntax; `what` (a file name, "request", ...) opens the message.
Result<Json> ParseJson(std::string_view text, std::string_view what, const JsonLimits& limits = {});
Result<OrderedJson> ParseOrderedJson(std::string_view text, std::string_view what,
                                     const JsonLimits& limits = {});
Result<Json> ReadJson(const std::filesystem::path& path, const JsonLimits& limits = {});
/// A file of a model.
Result<Json> ReadJson(const FileSet& files, const std::string& name, const JsonLimits& limits = {});

/// Reads JSON lines (blank lines skipped); a bad line's number is in the message. The limits hold
/// for each line, the bytes also for the file.
Result<std::vector<Json>> ReadJsonLines(const std::filesystem::path& path,
                                        const JsonLimits& limits = {});
Result<std::vector<OrderedJson>> ReadOrderedJsonLines(const std::filesystem::path& path,
                                                      const JsonLimits& limits = {});

/// Typed field access with the file and the key in the message. T: bool, int64_t, double,
/// std::string. GetField: missing or null is an error (kNotFound); GetFieldOr: missing or null
/// gives the fallback. A value of another type is an error in both (kInvalidData). int64_t refuses
/// fractions, but takes 4096.0; double takes integers.
template <typename T>
Result<T> GetField(const Json& object, std::string_view key, std::string_view what);
template <typename T>
Result<T> GetFieldOr(const Json& object, std::string_view key, T fallback, std::string_view what);

/// A string field that must have one value; another one is an error (kUnsupported).
Result<> ExpectField(const Json& object, std::string_view key, std::string_view expected,
                     std::string_view what);

}  // namespace unswift
