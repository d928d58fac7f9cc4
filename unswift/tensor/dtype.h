// Element types of stored tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace unswift {

/// f32, f16, bf16 store one value per element. q8_0 and q4_0 are ggml's block formats, 32 values
/// per block along the last dimension: q8_0 = f16 scale + 32 int8 (34 bytes); q4_0 = f16 scale + 16
/// bytes of nibbles (18 bytes), value = scale * (nibble - 8), low nibbles first.
enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kQ8_0,
  kQ4_0,
  kU8,
  kI8,
  kI16,
  kI32,
  kI64,
  kF64,
  kBool
};

inline constexpr int64_t kQuantBlockSize = 32;

/// Lower-case name as used by flags and JSON: "f32", "bf16", "q8_0", ...
std::string_view DTypeName(DType dtype);
std::optional<DType> ParseDType(std::string_view name);

/// Elements per storage block: 32 for q8_0 and q4_0, else 1.
int64_t BlockElements(DType dtype);
/// Bytes per storage block: the element size, or 34 / 18 for q8_0 / q4_0.
int64_t BlockBytes(DType dtype);
inline bool IsQuantized(DType dtype) { return dtype == DType::kQ8_0 || dtype == DType::kQ4_0; }
/// f32, f16 or bf16: what a plain weight may be stored as.
inline bool IsFloat(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

}  // namespace unswift
