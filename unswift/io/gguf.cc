#include "unswift/io/gguf.h"

#include <cmath>
#include <cstdlib>
#include <utility>

#include "unswift/base/check.h"
#include "unswift/io/gguf_parser.h"
#include "unswift/io/text.h"

namespace unswift {
namespace {

/// The double of the shortest decimal that rounds to this float.
double ShortestDecimal(float value) {
  return std::isfinite(value) ? std::strtod(fmt::format("{}", value).c_str(), nullptr) : value;
}

template <typename T>
struct ValueAs;

template <>
struct ValueAs<bool> {
  static constexpr std::string_view kName = "true or false";
  static std::optional<bool> From(const GgufValue& value) {
    const bool* held = std::get_if<bool>(&value);
    return held != nullptr ? std::optional(*held) : std::nullopt;
  }
};

template <>
struct ValueAs<int64_t> {
  static constexpr std::string_view kName = "a 64-bit integer";
  static std::optional<int64_t> From(const GgufValue& value) {
    if (const int64_t* held = std::get_if<int64_t>(&value)) return *held;
    const uint64_t* held = std::get_if<uint64_t>(&value);
    if (held == nullptr || *held > INT64_MAX) return std::nullopt;
    return static_cast<int64_t>(*held);
  }
};

template <>
struct ValueAs<double> {
  static constexpr std::string_view kName = "a number";
  static std::optional<double> From(const GgufValue& value) {
    if (const double* held = std::get_if<double>(&value)) return *held;
    if (const float* held = std::get_if<float>(&value)) return ShortestDecimal(*held);
    if (const int64_t* held = std::get_if<int64_t>(&value)) return static_cast<double>(*held);
    if (const uint64_t* held = std::get_if<uint64_t>(&value)) return static_cast<double>(*held);
    return std::nullopt;
  }
};

template <>
struct ValueAs<std::string_view> {
  static constexpr std::string_view kName = "a string in UTF-8";
  static std::optional<std::string_view> From(const GgufValue& value) {
    const std::string_view* held = std::get_if<std::string_view>(&value);
    if (held == nullptr || !IsValidUtf8(*held)) return std::nullopt;
    return *held;
  }
};

template <>
struct ValueAs<std::string> {
  static constexpr std::string_view kName = ValueAs<std::string_view>::kName;
  static std::optional<std::string> From(const GgufValue& value) {
    const auto text = ValueAs<std::string_view>::From(value);
    return text ? std::optional<std::string>(*text) : std::nullopt;
  }
};

template <typename T>
Result<T> Convert(const GgufValue& value, std::string_view key, const std::filesystem::path& path) {
  if (std::optional<T> converted = ValueAs<T>::From(value)) return *std::move(converted);
  return MakeError(ErrorCode::kInvalidData, "[get_gguf_value] {}: '{}': expected {}", path.string(),
                   key, ValueAs<T>::kName);
}

}  // namespace

Result<GgufFile> GgufFile::Open(const std::filesystem::path& path) {
  GgufFile file;
  file.path_ = path;
  UNSWIFT_ASSIGN_OR_RETURN(file.file_, MappedFile::Open(path));
  UNSWIFT_RETURN_IF_ERROR(GgufParser(file).Parse());
  return file;
}

const GgufTensor* GgufFile::FindTensor(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

template <typename T>
Result<T> GgufFile::Get(std::string_view key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) {
    return MakeError(ErrorCode::kNotFound, "[get_gguf_value] {}: '{}': expected {}, got nothing",
                     path_.string(), key, ValueAs<T>::kName);
  }
  return Convert<T>(found->second, key, path_);
}

template <typename T>
Result<T> GgufFile::GetOr(std::string_view key, T fallback) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) return fallback;
  return Convert<T>(found->second, key, path_);
}

template <typename T>
Result<std::vector<T>> GgufFile::GetArray(std::string_view key) const {
  const auto found = metadata_.find(key);
  const GgufArray* array =
      found == metadata_.end() ? nullptr : std::get_if<GgufArray>(&found->second);
  if (array == nullptr) {
    const bool absent = found == metadata_.end();
    return MakeError(absent ? ErrorCode::kNotFound : ErrorCode::kInvalidData,
                     "[get_gguf_value] {}: '{}': expected an array, got {}", path_.string(), key,
                     absent ? "nothing" : "a single value");
  }
  std::vector<T> values;
  GgufCursor cursor(array->bytes);
  for (uint64_t i = 0; i < array->count; ++i) {
    const std::optional<GgufValue> element = ReadGgufScalar(cursor, array->element_type);
    const std::optional<T> value = element ? ValueAs<T>::From(*element) : std::nullopt;
    if (!value) {
      return MakeError(ErrorCode::kInvalidData, "[get_gguf_value] {}: '{}'[{}]: expected {}",
                       path_.string(), key, i, ValueAs<T>::kName);
    }
    values.push_back(*value);
  }
  return values;
}

Result<> GgufFile::DequantizeRows(const GgufTensor& tensor, int64_t row_begin,
                                  std::span<float> out) const {
  if (tensor.type->dequantize == nullptr) {
    return MakeError(ErrorCode::kUnsupported,
                     "[dequantize] {}: tensor '{}': expected one of {}, got {}", path_.string(),
                     Shorten(tensor.name), DequantizableGgufTypes(), tensor.type->name);
  }
  const int64_t columns = tensor.row_elements();
  const int64_t rows = static_cast<int64_t>(out.size()) / columns;
  UNSWIFT_CHECK(rows * columns == static_cast<int64_t>(out.size()));
  UNSWIFT_CHECK(row_begin >= 0 && row_begin + rows <= tensor.num_rows());
  const int64_t row_bytes = columns / tensor.type->block_elements * tensor.type->block_bytes;
  tensor.type->dequantize(tensor.data + row_begin * row_bytes, out);
  return {};
}

void GgufFile::Release(const GgufTensor& tensor) const {
  file_.Release(tensor.data - file_.bytes().data(), tensor.num_bytes);
}

template Result<bool> GgufFile::Get(std::string_view) const;
template Result<int64_t> GgufFile::Get(std::string_view) const;
template Result<double> GgufFile::Get(std::string_view) const;
template Result<std::string> GgufFile::Get(std::string_view) const;
template Result<bool> GgufFile::GetOr(std::string_view, bool) const;
template Result<int64_t> GgufFile::GetOr(std::string_view, int64_t) const;
template Result<double> GgufFile::GetOr(std::string_view, double) const;
template Result<std::string> GgufFile::GetOr(std::string_view, std::string) const;
template Result<std::vector<int64_t>> GgufFile::GetArray(std::string_view) const;
template Result<std::vector<double>> GgufFile::GetArray(std::string_view) const;
template Result<std::vector<std::string_view>> GgufFile::GetArray(std::string_view) const;

}  // namespace unswift
