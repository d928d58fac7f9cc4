// Element types of GGUF tensors: one table row per type. Internal to io/gguf*.cc and its tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace unswift {

/// Widens out.size() elements, a multiple of the type's block, that start at `blocks`.
using DequantizeFn = void (*)(const std::byte* blocks, std::span<float> out);

/// A ggml element type. Source of ids and block sizes: ggml.h and the `gguf` Python package.
struct GgufTensorType {
  uint32_t id;
  std::string_view name;
  int64_t block_elements;
  int64_t block_bytes;
  DequantizeFn dequantize;  // null: the file can be opened, the values not be read
};

/// Null for an id that is in no row.
const GgufTensorType* FindGgufTensorType(uint32_t id);

/// "F32, F16, ...": the types whose values can be read, for messages.
std::string DequantizableGgufTypes();

}  // namespace unswift
