#include "unswift/tensor/dtype.h"

#include <array>

#include "unswift/base/check.h"

namespace unswift {
namespace {

struct DTypeRow {
  DType dtype;
  std::string_view name;
  int64_t block_elements;
  int64_t block_bytes;
};

constexpr std::array<DTypeRow, 12> kRows = {{
    {DType::kF32, "f32", 1, 4},
    {DType::kF16, "f16", 1, 2},
    {DType::kBF16, "bf16", 1, 2},
    {DType::kQ8_0, "q8_0", kQuantBlockSize, 34},
    {DType::kQ4_0, "q4_0", kQuantBlockSize, 18},
    {DType::kU8, "u8", 1, 1},
    {DType::kI8, "i8", 1, 1},
    {DType::kI16, "i16", 1, 2},
    {DType::kI32, "i32", 1, 4},
    {DType::kI64, "i64", 1, 8},
    {DType::kF64, "f64", 1, 8},
    {DType::kBool, "bool", 1, 1},
}};

const DTypeRow& RowOf(DType dtype) {
  for (const DTypeRow& row : kRows) {
    if (row.dtype == dtype) return row;
  }
  UNSWIFT_CHECK(false);
}

}  // namespace

std::string_view DTypeName(DType dtype) { return RowOf(dtype).name; }

std::optional<DType> ParseDType(std::string_view name) {
  for (const DTypeRow& row : kRows) {
    if (row.name == name) return row.dtype;
  }
  return std::nullopt;
}

int64_t BlockElements(DType dtype) { return RowOf(dtype).block_elements; }
int64_t BlockBytes(DType dtype) { return RowOf(dtype).block_bytes; }

}  // namespace unswift
