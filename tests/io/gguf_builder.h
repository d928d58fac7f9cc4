// Builds small GGUF files for tests, also broken ones.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace unswift {

template <typename T>
std::string RawBytes(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

/// A value's type id and bytes.
struct GgufTestValue {
  uint32_t type;
  std::string bytes;

  static std::string Text(std::string_view text) {
    return RawBytes<uint64_t>(text.size()) + std::string(text);
  }
  static GgufTestValue Bool(bool value) { return {7, RawBytes<uint8_t>(value)}; }
  static GgufTestValue Uint32(uint32_t value) { return {4, RawBytes(value)}; }
  static GgufTestValue Float32(float value) { return {6, RawBytes(value)}; }
  static GgufTestValue String(std::string_view text) { return {8, Text(text)}; }

  static GgufTestValue Array(uint32_t element_type, uint64_t count, const std::string& elements) {
    return {9, RawBytes(element_type) + RawBytes(count) + elements};
  }
  static GgufTestValue Strings(const std::vector<std::string>& values) {
    std::string elements;
    for (const std::string& value : values) elements += Text(value);
    return Array(8, values.size(), elements);
  }
  template <typename T>
  static GgufTestValue Numbers(uint32_t element_type, const std::vector<T>& values) {
    std::string elements;
    for (T value : values) elements += RawBytes(value);
    return Array(element_type, values.size(), elements);
  }
  static GgufTestValue Ints(const std::vector<int32_t>& values) { return Numbers(5, values); }
  static GgufTestValue Floats(const std::vector<float>& values) { return Numbers(6, values); }
};

/// Collects values and tensors; Build() lays the file out as llama.cpp does.
class GgufBuilder {
 public:
  uint32_t version = 3;
  uint64_t alignment = 32;

  /// A repeated key makes a second record.
  GgufBuilder& Value(std::string_view key, const GgufTestValue& value) {
    values_.emplace_back(key, value);
    return *this;
  }
  /// Replaces a value that is there.
  GgufBuilder& Set(std::string_view key, const GgufTestValue& value) {
    Remove(key);
    return Value(key, value);
  }
  GgufBuilder& Remove(std::string_view key) {
    std::erase_if(values_, [&](const auto& entry) { return entry.first == key; });
    return *this;
  }

  /// Dimensions innermost first, as in the file.
  GgufBuilder& Tensor(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type,
                      const std::string& bytes) {
    tensors_.push_back({std::string(name), dims, type, bytes, data_.size()});
    data_ += bytes;
    data_.append((alignment - data_.size() % alignment) % alignment, '\0');
    return *this;
  }
  /// A record with an offset of its own and no data.
  GgufBuilder& TensorAt(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type,
                        uint64_t offset) {
    tensors_.push_back({std::string(name), dims, type, "", offset});
    return *this;
  }
  GgufBuilder& RemoveTensor(std::string_view name) {
    std::erase_if(tensors_, [&](const Record& record) { return record.name == name; });
    return *this;
  }

  std::string Build() const {
    std::string file = "GGUF" + RawBytes(version) + RawBytes<uint64_t>(tensors_.size()) +
                       RawBytes<uint64_t>(values_.size());
    for (const auto& [key, value] : values_) {
      file += GgufTestValue::Text(key) + RawBytes(value.type) + value.bytes;
    }
    for (const Record& record : tensors_) {
      file += GgufTestValue::Text(record.name) + RawBytes<uint32_t>(record.dims.size());
      for (uint64_t dim : record.dims) file += RawBytes(dim);
      file += RawBytes(record.type) + RawBytes(record.offset);
    }
    file.append((alignment - file.size() % alignment) % alignment, '\0');
    return file + data_;
  }

 private:
  struct Record {
    std::string name;
    std::vector<uint64_t> dims;
    uint32_t type;
    std::string bytes;
    uint64_t offset;
  };
  std::vector<std::pair<std::string, GgufTestValue>> values_;
  std::vector<Record> tensors_;
  std::string data_;
};

}  // namespace unswift
