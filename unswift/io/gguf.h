// GGUF files (llama.cpp): read by mmap with every check of the format. Versions 2 and 3.
//
// Format: magic, version, counts, metadata (key, type, value), tensor infos (name, dimensions,
// type, offset), padding, data. Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "unswift/base/mapped_file.h"
#include "unswift/base/result.h"
#include "unswift/io/gguf_types.h"
#include "unswift/tensor/tensor_view.h"

namespace unswift {

enum class GgufValueType : uint32_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64,
};

/// An array as it lies in the file (already checked to be complete). Read it with
/// GgufFile::GetArray.
struct GgufArray {
  GgufValueType element_type;
  uint64_t count;
  std::span<const std::byte> bytes;
};

/// A metadata value. Strings and arrays point into the mapping.
using GgufValue = std::variant<bool, uint64_t, int64_t, float, double, std::string_view, GgufArray>;

/// Dimensions are row-major (the last is contiguous): the reverse of the file's order.
struct GgufTensor {
  std::string name;
  const GgufTensorType* type;
  Shape shape;
  const std::byte* data;
  int64_t num_bytes;

  int64_t row_elements() const { return shape.empty() ? 1 : shape.back(); }
  int64_t num_rows() const { return NumElements(shape) / row_elements(); }
};

/// One open file. Values and tensors live as long as the object.
class GgufFile {
 public:
  /// Checks: magic, version, counts and lengths against the file's size, value types, nesting of
  /// arrays, alignment, unique keys and names, dimensions (1 to 2^63, at most 4, whole blocks),
  /// offsets (aligned, inside the file, no overlap). Errors: kInvalidData; kUnsupported for version
  /// 1, big-endian files and unknown tensor types; kIo; kNotFound.
  static Result<GgufFile> Open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const std::map<std::string, GgufValue, std::less<>>& metadata() const { return metadata_; }
  const std::map<std::string, GgufTensor, std::less<>>& tensors() const { return tensors_; }
  /// Null when absent.
  const GgufTensor* FindTensor(std::string_view name) const;

  bool Has(std::string_view key) const { return metadata_.contains(key); }
  /// T: bool, int64_t, double, std::string. Integers and floats of every width are accepted where
  /// they fit; a float32 becomes the double of its shortest decimal (1e-05, not 9.99999975e-06):
  /// the number its writer meant. Errors: kNotFound (Get only), kInvalidData (another type, or a
  /// string that is not UTF-8), naming the file and the key.
  template <typename T>
  Result<T> Get(std::string_view key) const;
  template <typename T>
  Result<T> GetOr(std::string_view key, T fallback) const;

  /// A list of int64_t, double or std::string_view (UTF-8, into the mapping); errors as for Get.
  template <typename T>
  Result<std::vector<T>> GetArray(std::string_view key) const;

  /// Widens rows [row_begin, row_begin + out.size() / tensor.row_elements()) of a tensor of this
  /// file to float32. Errors: kUnsupported for a type without a conversion, naming tensor and type.
  Result<> DequantizeRows(const GgufTensor& tensor, int64_t row_begin, std::span<float> out) const;

  /// Drops the tensor's pages from this process (they stay in the page cache).
  void Release(const GgufTensor& tensor) const;

 private:
  friend class GgufParser;
  std::filesystem::path path_;
  MappedFile file_;
  std::map<std::string, GgufValue, std::less<>> metadata_;
  std::map<std::string, GgufTensor, std::less<>> tensors_;
};

}  // namespace unswift
