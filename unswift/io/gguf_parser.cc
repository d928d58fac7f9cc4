#include "unswift/io/gguf_parser.h"

#include <algorithm>
#include <array>
#include <string>

#include "unswift/io/text.h"

namespace unswift {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors are mapped as they are stored");

constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr uint64_t kDefaultAlignment = 32;
constexpr int kMaxArrayDepth = 8;
constexpr uint32_t kMaxDimensions = 4;
constexpr uint64_t kMinValueBytes = 8 + 4 + 1;       // key length, type, one byte
constexpr uint64_t kMinTensorBytes = 8 + 4 + 4 + 8;  // name length, dimensions, type, offset

struct ScalarRow {
  GgufValueType type;
  size_t bytes;
};

constexpr std::array<ScalarRow, 11> kScalars = {{
    {GgufValueType::kUint8, 1},
    {GgufValueType::kInt8, 1},
    {GgufValueType::kUint16, 2},
    {GgufValueType::kInt16, 2},
    {GgufValueType::kUint32, 4},
    {GgufValueType::kInt32, 4},
    {GgufValueType::kFloat32, 4},
    {GgufValueType::kBool, 1},
    {GgufValueType::kUint64, 8},
    {GgufValueType::kInt64, 8},
    {GgufValueType::kFloat64, 8},
}};

/// Reads a Stored and widens it to the variant's Held.
template <typename Stored, typename Held>
std::optional<GgufValue> ReadAs(GgufCursor& cursor) {
  const std::optional<Stored> value = cursor.Read<Stored>();
  if (!value) return std::nullopt;
  return GgufValue(static_cast<Held>(*value));
}

std::optional<GgufValue> ReadBool(GgufCursor& cursor) {
  const std::optional<uint8_t> value = cursor.Read<uint8_t>();
  if (!value || *value > 1) return std::nullopt;
  return GgufValue(*value == 1);
}

}  // namespace

size_t GgufScalarBytes(GgufValueType type) {
  for (const ScalarRow& row : kScalars) {
    if (row.type == type) return row.bytes;
  }
  return 0;
}

std::optional<GgufValue> ReadGgufScalar(GgufCursor& cursor, GgufValueType type) {
  switch (type) {
    case GgufValueType::kUint8:
      return ReadAs<uint8_t, uint64_t>(cursor);
    case GgufValueType::kInt8:
      return ReadAs<int8_t, int64_t>(cursor);
    case GgufValueType::kUint16:
      return ReadAs<uint16_t, uint64_t>(cursor);
    case GgufValueType::kInt16:
      return ReadAs<int16_t, int64_t>(cursor);
    case GgufValueType::kUint32:
      return ReadAs<uint32_t, uint64_t>(cursor);
    case GgufValueType::kInt32:
      return ReadAs<int32_t, int64_t>(cursor);
    case GgufValueType::kFloat32:
      return ReadAs<float, float>(cursor);
    case GgufValueType::kBool:
      return ReadBool(cursor);
    case GgufValueType::kUint64:
      return ReadAs<uint64_t, uint64_t>(cursor);
    case GgufValueType::kInt64:
      return ReadAs<int64_t, int64_t>(cursor);
    case GgufValueType::kFloat64:
      return ReadAs<double, double>(cursor);
    case GgufValueType::kString:
      if (const auto text = cursor.ReadString()) return GgufValue(*text);
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

tl::unexpected<Error> GgufParser::Fail(std::string_view why, ErrorCode code) const {
  return MakeError(code, "[open_gguf] {}: {}", file_.path_.string(), why);
}

Result<> GgufParser::Parse() {
  UNSWIFT_ASSIGN_OR_RETURN(const Counts counts, ReadHeader());
  UNSWIFT_RETURN_IF_ERROR(ReadMetadata(counts.values));
  UNSWIFT_RETURN_IF_ERROR(ReadTensorInfos(counts.tensors));
  return PlaceTensors();
}

Result<GgufParser::Counts> GgufParser::ReadHeader() {
  const auto magic = cursor_.Read<uint32_t>();
  if (magic != kMagic) return Fail("expected a file that starts with 'GGUF'");
  const auto version = cursor_.Read<uint32_t>();
  if (!version) return Fail("expected a version, got the end of the file");
  if (*version != 0 && (*version & 0xffffu) == 0) {
    return Fail("expected a little-endian file, got a big-endian one", ErrorCode::kUnsupported);
  }
  if (*version != 2 && *version != 3) {
    return Fail(fmt::format("expected version 2 or 3, got {}", *version), ErrorCode::kUnsupported);
  }
  const auto tensors = cursor_.Read<uint64_t>();
  const auto values = cursor_.Read<uint64_t>();
  if (!tensors || !values) return Fail("expected two counts, got the end of the file");
  if (*tensors > cursor_.left() / kMinTensorBytes || *values > cursor_.left() / kMinValueBytes) {
    return Fail(fmt::format("{} tensors and {} values do not fit the file's {} bytes", *tensors,
                            *values, file_.file_.bytes().size()));
  }
  return Counts{*tensors, *values};
}

Result<> GgufParser::ReadMetadata(uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    const auto key = cursor_.ReadString();
    if (!key) return Fail(fmt::format("value {}: expected a key, got the end of the file", i));
    if (!IsValidUtf8(*key)) return Fail(fmt::format("key '{}': expected UTF-8", Shorten(*key)));
    UNSWIFT_ASSIGN_OR_RETURN(GgufValue value, ReadValue(*key));
    if (!file_.metadata_.emplace(*key, std::move(value)).second) {
      return Fail(fmt::format("expected unique keys, got '{}' twice", Shorten(*key)));
    }
  }
  return {};
}

Result<GgufValue> GgufParser::ReadValue(std::string_view key) {
  const auto type = cursor_.Read<GgufValueType>();
  if (!type) return Fail(fmt::format("'{}': expected a type", Shorten(key)));
  if (*type == GgufValueType::kArray) {
    UNSWIFT_ASSIGN_OR_RETURN(GgufArray array, ReadArray(key));
    return GgufValue(array);
  }
  if (std::optional<GgufValue> value = ReadGgufScalar(cursor_, *type)) return *std::move(value);
  return Fail(fmt::format("'{}': expected a complete value of a known type, got type {}",
                          Shorten(key), static_cast<uint32_t>(*type)));
}

Result<GgufArray> GgufParser::ReadArray(std::string_view key) {
  const auto type = cursor_.Read<GgufValueType>();
  const auto count = type ? cursor_.Read<uint64_t>() : std::nullopt;
  if (!count) return Fail(fmt::format("'{}': expected an array, got the end", Shorten(key)));
  const size_t begin = cursor_.position();
  UNSWIFT_RETURN_IF_ERROR(SkipArrayElements(key, *type, *count, 1));
  return GgufArray{*type, *count, file_.file_.bytes().subspan(begin, cursor_.position() - begin)};
}

Result<> GgufParser::SkipArrayElements(std::string_view key, GgufValueType type, uint64_t count,
                                       int depth) {
  const auto truncated = [&] {
    return Fail(fmt::format("'{}': an array of {} elements of type {} does not fit the file",
                            Shorten(key), count, static_cast<uint32_t>(type)));
  };
  if (const size_t size = GgufScalarBytes(type); size != 0) {
    if (count > cursor_.left() / size) return truncated();
    cursor_.Take(count * size);
    return {};
  }
  if (depth > kMaxArrayDepth) {
    return Fail(
        fmt::format("'{}': expected at most {} levels of arrays", Shorten(key), kMaxArrayDepth));
  }
  for (uint64_t i = 0; i < count; ++i) {
    if (type == GgufValueType::kString) {
      if (!cursor_.ReadString()) return truncated();
    } else if (type == GgufValueType::kArray) {
      const auto inner_type = cursor_.Read<GgufValueType>();
      const auto inner_count = inner_type ? cursor_.Read<uint64_t>() : std::nullopt;
      if (!inner_count) return truncated();
      UNSWIFT_RETURN_IF_ERROR(SkipArrayElements(key, *inner_type, *inner_count, depth + 1));
    } else {
      return Fail(fmt::format("'{}': expected a known type of elements, got {}", Shorten(key),
                              static_cast<uint32_t>(type)));
    }
  }
  return {};
}

Result<> GgufParser::ReadTensorInfos(uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    UNSWIFT_ASSIGN_OR_RETURN(GgufTensor tensor, ReadTensorInfo());
    const std::string name = tensor.name;
    if (!file_.tensors_.emplace(name, std::move(tensor)).second) {
      return Fail(fmt::format("expected unique tensor names, got '{}' twice", Shorten(name)));
    }
  }
  return {};
}

Result<GgufTensor> GgufParser::ReadTensorInfo() {
  GgufTensor tensor = {};
  const auto name = cursor_.ReadString();
  if (!name) return Fail("expected a tensor's name, got the end of the file");
  if (!IsValidUtf8(*name)) {
    return Fail(fmt::format("tensor '{}': expected a name in UTF-8", Shorten(*name)));
  }
  tensor.name = *name;
  UNSWIFT_ASSIGN_OR_RETURN(tensor.shape, ReadShape(*name, tensor.type));
  // ReadShape made sure that neither the elements nor the bytes overflow.
  tensor.num_bytes =
      NumElements(tensor.shape) / tensor.type->block_elements * tensor.type->block_bytes;
  const auto offset = cursor_.Read<uint64_t>();
  if (!offset) return Fail(fmt::format("tensor '{}': expected an offset", Shorten(*name)));
  offsets_[tensor.name] = *offset;
  return tensor;
}

/// Number of dimensions, dimensions (innermost first), type.
Result<Shape> GgufParser::ReadShape(std::string_view name, const GgufTensorType*& type) {
  const auto fail = [&](std::string_view why, ErrorCode code = ErrorCode::kInvalidData) {
    return Fail(fmt::format("tensor '{}': {}", Shorten(name), why), code);
  };
  const auto rank = cursor_.Read<uint32_t>();
  if (!rank || *rank > kMaxDimensions) {
    return fail(fmt::format("expected at most {} dimensions, got {}", kMaxDimensions,
                            rank ? std::to_string(*rank) : "the end of the file"));
  }
  Shape shape(*rank);
  for (int64_t& dim : shape) {
    const auto value = cursor_.Read<uint64_t>();
    if (!value || *value == 0 || *value > INT64_MAX) {
      return fail(fmt::format("expected a dimension of at least 1, got {}",
                              value ? std::to_string(*value) : "the end of the file"));
    }
    dim = static_cast<int64_t>(*value);
  }
  const auto type_id = cursor_.Read<uint32_t>();
  if (!type_id) return fail("expected a type, got the end of the file");
  type = FindGgufTensorType(*type_id);
  if (type == nullptr) {
    return fail(fmt::format("expected a known type, got {}", *type_id), ErrorCode::kUnsupported);
  }
  int64_t bound = type->block_bytes;
  for (int64_t dim : shape) {
    if (__builtin_mul_overflow(bound, dim, &bound)) {
      return fail("the shape overflows: " + ShapeString(shape));
    }
  }
  if (!shape.empty() && shape[0] % type->block_elements != 0) {
    return fail(fmt::format("expected rows of whole {} blocks of {}, got {} elements", type->name,
                            type->block_elements, shape[0]));
  }
  if (shape.empty() && type->block_elements != 1) return fail("expected dimensions");
  std::reverse(shape.begin(), shape.end());
  return shape;
}

Result<> GgufParser::PlaceTensors() {
  UNSWIFT_ASSIGN_OR_RETURN(const int64_t alignment,
                           file_.GetOr<int64_t>("general.alignment", kDefaultAlignment));
  if (alignment <= 0 || !std::has_single_bit(static_cast<uint64_t>(alignment))) {
    return Fail(fmt::format("expected a power of two as general.alignment, got {}", alignment));
  }
  const uint64_t padding = (alignment - cursor_.position() % alignment) % alignment;
  if (!file_.tensors_.empty() && !cursor_.Take(padding)) return Fail("expected tensor data");
  const std::span<const std::byte> data = file_.file_.bytes().subspan(cursor_.position());

  std::vector<std::pair<uint64_t, GgufTensor*>> order;
  for (auto& [name, tensor] : file_.tensors_) order.emplace_back(offsets_[name], &tensor);
  std::sort(order.begin(), order.end());
  uint64_t end_of_last = 0;
  for (const auto& [offset, tensor] : order) {
    const uint64_t size = static_cast<uint64_t>(tensor->num_bytes);
    std::string_view why;
    if (offset % alignment != 0) why = "is not aligned";
    if (offset < end_of_last) why = "overlaps another tensor";
    if (offset > data.size() || size > data.size() - offset) why = "reaches past the end";
    if (!why.empty()) {
      return Fail(fmt::format("tensor '{}': [{}, +{}) of {} bytes of data {} (alignment {})",
                              Shorten(tensor->name), offset, size, data.size(), why, alignment));
    }
    tensor->data = data.data() + offset;
    end_of_last = offset + size;
  }
  return {};
}

}  // namespace unswift
