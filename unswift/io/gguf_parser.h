// The byte-level half of GgufFile: cursor and parser. Internal to io/gguf*.cc.
#pragma once

#include <bit>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "unswift/io/gguf.h"

namespace unswift {

/// Reads little-endian values off the front of bytes; every read is empty when too few are left.
class GgufCursor {
 public:
  explicit GgufCursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  size_t position() const { return position_; }
  size_t left() const { return bytes_.size() - position_; }

  std::optional<std::span<const std::byte>> Take(uint64_t count) {
    if (count > left()) return std::nullopt;
    const auto taken = bytes_.subspan(position_, count);
    position_ += count;
    return taken;
  }

  template <typename T>
  std::optional<T> Read() {
    const auto taken = Take(sizeof(T));
    if (!taken) return std::nullopt;
    T value;
    std::memcpy(&value, taken->data(), sizeof(T));
    return value;
  }

  /// 64-bit length, bytes.
  std::optional<std::string_view> ReadString() {
    const auto length = Read<uint64_t>();
    const auto taken = length ? Take(*length) : std::nullopt;
    if (!taken) return std::nullopt;
    return std::string_view(reinterpret_cast<const char*>(taken->data()), taken->size());
  }

 private:
  std::span<const std::byte> bytes_;
  size_t position_ = 0;
};

/// Bytes of one value of a fixed-size type; 0 for strings, arrays and unknown types.
size_t GgufScalarBytes(GgufValueType type);

/// Reads one scalar or string. Empty when the bytes run out or the type is no such one.
std::optional<GgufValue> ReadGgufScalar(GgufCursor& cursor, GgufValueType type);

/// Fills a GgufFile whose path_ and file_ are set.
class GgufParser {
 public:
  explicit GgufParser(GgufFile& file) : file_(file), cursor_(file.file_.bytes()) {}
  Result<> Parse();

 private:
  struct Counts {
    uint64_t tensors, values;
  };
  tl::unexpected<Error> Fail(std::string_view why, ErrorCode code = ErrorCode::kInvalidData) const;
  Result<Counts> ReadHeader();
  Result<> ReadMetadata(uint64_t count);
  Result<GgufValue> ReadValue(std::string_view key);
  Result<GgufArray> ReadArray(std::string_view key);
  Result<> SkipArrayElements(std::string_view key, GgufValueType type, uint64_t count, int depth);
  Result<> ReadTensorInfos(uint64_t count);
  Result<GgufTensor> ReadTensorInfo();
  Result<Shape> ReadShape(std::string_view name, const GgufTensorType*& type);
  Result<> PlaceTensors();

  GgufFile& file_;
  GgufCursor cursor_;
  std::map<std::string, uint64_t> offsets_;  // tensor name -> offset in the data section
};

}  // namespace unswift
