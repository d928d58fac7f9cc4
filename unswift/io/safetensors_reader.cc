#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <utility>

#include "unswift/io/json.h"
#include "unswift/io/safetensors.h"
#include "unswift/io/safetensors_dtype.h"
#include "unswift/io/text.h"

namespace unswift {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors are mapped as they are stored");

constexpr size_t kLengthBytes = 8;
constexpr JsonLimits kHeaderLimits = {.max_bytes = kMaxSafetensorsHeaderBytes, .max_depth = 8};

struct Parts {
  std::string_view header;
  std::span<const std::byte> data;
};

auto InvalidFile(const std::filesystem::path& path, std::string_view why) {
  return MakeError(ErrorCode::kInvalidData, "[open_safetensors] {}: {}", path.string(), why);
}

Result<Parts> SplitFile(std::span<const std::byte> bytes, const std::filesystem::path& path) {
  if (bytes.size() < kLengthBytes) {
    return InvalidFile(path, fmt::format("expected at least 8 bytes, got {}", bytes.size()));
  }
  uint64_t length;
  std::memcpy(&length, bytes.data(), kLengthBytes);
  if (length > kMaxSafetensorsHeaderBytes) {
    return InvalidFile(path, fmt::format("expected a header of at most {} bytes, got {}",
                                         kMaxSafetensorsHeaderBytes, length));
  }
  const std::span<const std::byte> rest = bytes.subspan(kLengthBytes);
  if (length > rest.size()) {
    return InvalidFile(path, fmt::format("expected a header of {} bytes, got {} before the end",
                                         length, rest.size()));
  }
  const std::string_view header(reinterpret_cast<const char*>(rest.data()), length);
  if (!header.starts_with('{')) return InvalidFile(path, "expected a header that starts with '{'");
  return Parts{header, rest.subspan(length)};
}

/// One header entry -> a view, checked by itself and against the data's size.
class EntryReader {
 public:
  EntryReader(const std::filesystem::path& path, std::span<const std::byte> data)
      : path_(path), data_(data) {}

  Result<TensorView> Read(const std::string& name, const Json& entry) const {
    if (!entry.is_object()) return Invalid(name, "expected an object");
    TensorView view;
    UNSWIFT_ASSIGN_OR_RETURN(view.dtype, ReadDType(name, entry));
    UNSWIFT_ASSIGN_OR_RETURN(view.shape, ReadIntegers(name, entry, "shape"));
    UNSWIFT_ASSIGN_OR_RETURN(const Shape offsets, ReadIntegers(name, entry, "data_offsets"));
    if (offsets.size() != 2) {
      return Invalid(name, fmt::format("expected 2 data_offsets, got {}", offsets.size()));
    }
    const auto [begin, end] = std::pair(offsets[0], offsets[1]);
    if (begin > end || std::cmp_greater(end, data_.size())) {
      return Invalid(name, fmt::format("expected ordered offsets within {} bytes, got [{}, {}]",
                                       data_.size(), begin, end));
    }
    const std::optional<int64_t> wanted = NumBytes(view);
    if (!wanted) return Invalid(name, "the shape overflows: " + Shorten(ShapeString(view.shape)));
    view.num_bytes = end - begin;
    if (view.num_bytes != *wanted) {
      return Invalid(name, fmt::format("expected {} bytes for {} {}, got {}", *wanted,
                                       SafetensorsDTypeName(view.dtype),
                                       Shorten(ShapeString(view.shape)), view.num_bytes));
    }
    view.data = data_.data() + begin;
    return view;
  }

 private:
  tl::unexpected<Error> Invalid(const std::string& name, std::string_view why,
                                ErrorCode code = ErrorCode::kInvalidData) const {
    return MakeError(code, "[open_safetensors] {}: tensor '{}': {}", path_.string(), Shorten(name),
                     why);
  }

  Result<DType> ReadDType(const std::string& name, const Json& entry) const {
    const auto field = entry.find("dtype");
    if (field == entry.end() || !field->is_string()) return Invalid(name, "expected a dtype");
    const std::string& text = field->get_ref<const std::string&>();
    if (const std::optional<DType> dtype = ParseSafetensorsDType(text)) return *dtype;
    return Invalid(name, fmt::format("expected a known dtype, got '{}'", Shorten(text)),
                   ErrorCode::kUnsupported);
  }

  /// A list of integers in [0, 2^63).
  Result<Shape> ReadIntegers(const std::string& name, const Json& entry, const char* key) const {
    const auto field = entry.find(key);
    if (field == entry.end() || !field->is_array()) {
      return Invalid(name, fmt::format("expected a list '{}'", key));
    }
    Shape values;
    for (const Json& value : *field) {
      if (!value.is_number_unsigned() || value.get<uint64_t>() > INT64_MAX) {
        return Invalid(name, fmt::format("expected non-negative integers in '{}', got {}", key,
                                         Shorten(value.dump())));
      }
      values.push_back(value.get<int64_t>());
    }
    return values;
  }

  /// Empty on overflow. Zero dimensions count as one first, so that no order of dimensions hides an
  /// overflow from later arithmetic.
  static std::optional<int64_t> NumBytes(const TensorView& view) {
    int64_t bytes = BlockBytes(view.dtype);
    bool empty = false;
    for (int64_t dim : view.shape) {
      empty = empty || dim == 0;
      if (__builtin_mul_overflow(bytes, std::max<int64_t>(dim, 1), &bytes)) return std::nullopt;
    }
    return empty ? 0 : bytes;
  }

  const std::filesystem::path& path_;
  std::span<const std::byte> data_;
};

Result<std::map<std::string, std::string>> ReadMetadata(const Json& json,
                                                        const std::filesystem::path& path) {
  if (!json.is_object()) return InvalidFile(path, "expected an object as __metadata__");
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) {
      return InvalidFile(path, fmt::format("__metadata__ '{}': expected a string, got {}",
                                           Shorten(key), value.type_name()));
    }
    metadata.emplace(key, value.get<std::string>());
  }
  return metadata;
}

/// Each byte of the data belongs to exactly one tensor.
Result<> CheckCoverage(const std::map<std::string, TensorView>& tensors,
                       std::span<const std::byte> data, const std::filesystem::path& path) {
  using Entry = std::pair<const std::string, TensorView>;
  std::vector<const Entry*> order;
  for (const Entry& entry : tensors) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const Entry* a, const Entry* b) {
    return std::pair(a->second.data, a->second.num_bytes) <
           std::pair(b->second.data, b->second.num_bytes);
  });
  int64_t expected = 0;
  for (const Entry* entry : order) {
    const int64_t begin = entry->second.data - data.data();
    if (begin != expected) {
      return InvalidFile(
          path, fmt::format("tensor '{}': expected offset {} ({}), got {}", Shorten(entry->first),
                            expected, begin < expected ? "overlap" : "hole", begin));
    }
    expected += entry->second.num_bytes;
  }
  if (std::cmp_not_equal(expected, data.size())) {
    return InvalidFile(path,
                       fmt::format("expected {} bytes of data, got {}", expected, data.size()));
  }
  return {};
}

}  // namespace

Result<SafetensorsFile> SafetensorsFile::Open(const std::filesystem::path& path) {
  UNSWIFT_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  return FromFile(std::move(file), path);
}

Result<SafetensorsFile> SafetensorsFile::FromFile(MappedFile bytes,
                                                  const std::filesystem::path& path) {
  SafetensorsFile file;
  file.path_ = path;
  file.file_ = std::move(bytes);
  UNSWIFT_ASSIGN_OR_RETURN(const Parts parts, SplitFile(file.file_.bytes(), path));
  UNSWIFT_ASSIGN_OR_RETURN(const Json header,
                           ParseJson(parts.header, path.string(), kHeaderLimits));
  const EntryReader reader(path, parts.data);
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      UNSWIFT_ASSIGN_OR_RETURN(file.metadata_, ReadMetadata(entry, path));
      continue;
    }
    UNSWIFT_ASSIGN_OR_RETURN(TensorView view, reader.Read(name, entry));
    file.tensors_.emplace(name, std::move(view));
  }
  UNSWIFT_RETURN_IF_ERROR(CheckCoverage(file.tensors_, parts.data, path));
  return file;
}

}  // namespace unswift
