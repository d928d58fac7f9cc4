// Names of element types inside safetensors headers. Internal to io/safetensors_*.cc.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "unswift/tensor/dtype.h"

namespace unswift {

/// Lower-case DTypeName in upper case; quantised types have no name in the format.
inline std::string SafetensorsDTypeName(DType dtype) {
  std::string name(DTypeName(dtype));
  for (char& c : name) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return name;
}

inline std::optional<DType> ParseSafetensorsDType(std::string_view name) {
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kU8, DType::kI8, DType::kI16,
                      DType::kI32, DType::kI64, DType::kF64, DType::kBool}) {
    if (SafetensorsDTypeName(dtype) == name) return dtype;
  }
  return std::nullopt;
}

}  // namespace unswift
