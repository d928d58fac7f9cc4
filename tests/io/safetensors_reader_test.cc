#include <cstring>
#include <string>
#include <vector>

#include "tests/base/expect_error.h"
#include "tests/testing/test_data.h"
#include "unswift/io/safetensors.h"

namespace unswift {
namespace {

std::string Length(uint64_t length) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes;
}

std::string File(const std::string& header, size_t data_bytes = 0) {
  return Length(header.size()) + header + std::string(data_bytes, '\1');
}

/// A header with one tensor 'x'.
std::string One(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"x":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}}";
}

Result<SafetensorsFile> OpenBytes(const std::string& bytes) {
  const TempDir dir;
  WriteTextFile(dir / "model.safetensors", bytes);
  return SafetensorsFile::Open(dir / "model.safetensors");
}

struct HostileCase {
  const char* name;
  std::string bytes;
  const char* message;
  ErrorCode code = ErrorCode::kInvalidData;
};

std::vector<HostileCase> BrokenHeaders() {
  const std::string x = R"("x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  return {
      {"empty file", "", "expected at least 8 bytes, got 0"},
      {"seven bytes", std::string(7, '\0'), "expected at least 8 bytes, got 7"},
      {"no header", Length(0), "starts with '{'"},
      {"truncated header", File("{" + x + "}").substr(0, 30), "got 22 before the end"},
      {"header longer than the file", Length(100) + "{}", "expected a header of 100 bytes, got 2"},
      {"length 2^63", Length(1ull << 63) + "{}", "expected a header of at most 100000000"},
      {"length 2^64 - 1", Length(~0ull) + "{}", "expected a header of at most 100000000"},
      {"length over the limit", Length(100'000'001) + "{}", "at most 100000000 bytes"},
      {"array", File("[]"), "starts with '{'"},
      {"leading space", File(" {}"), "starts with '{'"},
      {"unfinished", File("{"), "expected JSON"},
      {"garbage behind the object", File("{}x"), "expected JSON"},
      {"not UTF-8", File("{\"\xff\":1}"), "expected JSON"},
      {"duplicate names", File("{" + x + "," + x + "}", 1), "got 'x' twice"},
      {"duplicate keys of a tensor", File(R"({"x":{"dtype":"U8","dtype":"U8"}})"), "got 'dtype'"},
      {"a million levels", File("{\"x\":" + std::string(1'000'000, '[')), "levels of nesting"},
      {"metadata is no object", File(R"({"__metadata__":[]})"), "expected an object as __meta"},
      {"metadata value is no string", File(R"({"__metadata__":{"a":1}})"),
       "'a': expected a string"},
      {"entry is no object", File(R"({"x":[]})"), "tensor 'x': expected an object"},
  };
}

std::vector<HostileCase> BrokenEntries() {
  const auto code = ErrorCode::kUnsupported;
  const std::string too_big = "[9223372036854775808]", int_max = "[9223372036854775807]";
  return {
      {"unknown dtype", File(One("F8_E4M3", "[1]", "[0,1]"), 1), "got 'F8_E4M3'", code},
      {"lower-case dtype", File(One("f32", "[1]", "[0,4]"), 4), "got 'f32'", code},
      {"quantised dtype", File(One("Q8_0", "[32]", "[0,34]"), 34), "got 'Q8_0'", code},
      {"no dtype", File(R"({"x":{"shape":[],"data_offsets":[0,0]}})"), "expected a dtype"},
      {"dtype is a number", File(R"({"x":{"dtype":1,"shape":[],"data_offsets":[0,0]}})"),
       "expected a dtype"},
      {"no shape", File(R"({"x":{"dtype":"U8","data_offsets":[0,1]}})", 1), "list 'shape'"},
      {"shape is a number", File(One("U8", "1", "[0,1]"), 1), "list 'shape'"},
      {"negative dimension", File(One("U8", "[-1]", "[0,1]"), 1), "in 'shape', got -1"},
      {"two negative dimensions", File(One("U8", "[-1,-1]", "[0,1]"), 1), "in 'shape', got -1"},
      {"fraction", File(One("U8", "[1.0]", "[0,1]"), 1), "in 'shape', got 1.0"},
      {"text dimension", File(One("U8", "[\"1\"]", "[0,1]"), 1), "in 'shape', got \"1\""},
      {"dimension 2^63", File(One("U8", too_big, "[0,1]"), 1),
       "in 'shape', got 9223372036854775808"},
      {"dimension beyond 64 bits", File(One("U8", "[1e30]", "[0,1]"), 1), "in 'shape'"},
      {"elements overflow", File(One("U8", "[4294967296,4294967296]", "[0,0]")), "shape overflows"},
      {"bytes overflow", File(One("F64", "[2305843009213693952]", "[0,0]")), "shape overflows"},
      {"overflow behind a zero", File(One("U8", "[0,4294967296,4294967296]", "[0,0]")),
       "overflows"},
      {"no offsets", File(R"({"x":{"dtype":"U8","shape":[1]}})", 1), "list 'data_offsets'"},
      {"one offset", File(One("U8", "[1]", "[1]"), 1), "expected 2 data_offsets, got 1"},
      {"three offsets", File(One("U8", "[1]", "[0,1,1]"), 1), "expected 2 data_offsets, got 3"},
      {"negative offset", File(One("U8", "[1]", "[-1,0]"), 1), "in 'data_offsets', got -1"},
      {"reversed offsets", File(One("U8", "[1]", "[1,0]"), 1), "got [1, 0]"},
      {"end behind the data", File(One("U8", "[2]", "[0,2]"), 1), "within 1 bytes, got [0, 2]"},
      {"begin behind the data", File(One("U8", "[0]", "[5,5]"), 1), "within 1 bytes, got [5, 5]"},
      {"offset 2^63 - 1", File(One("U8", int_max, "[0,9223372036854775807]"), 1), "within 1 bytes"},
      {"offset 2^64 - 1", File(One("U8", "[1]", "[0,18446744073709551615]"), 1),
       "in 'data_offsets'"},
      {"too few bytes", File(One("F32", "[2]", "[0,4]"), 4), "expected 8 bytes for F32 [2], got 4"},
      {"too many bytes", File(One("BF16", "[2]", "[0,8]"), 8), "expected 4 bytes for BF16"},
      {"bytes of an empty tensor", File(One("U8", "[0]", "[0,1]"), 1), "expected 0 bytes"},
      {"no bytes of a scalar", File(One("U8", "[]", "[0,0]")), "expected 1 bytes"},
      {"hole at the start", File(One("U8", "[1]", "[1,2]"), 2), "expected offset 0 (hole), got 1"},
      {"trailing bytes", File(One("U8", "[1]", "[0,1]"), 2), "expected 1 bytes of data, got 2"},
      {"data without tensors", File("{}", 1), "expected 0 bytes of data, got 1"},
  };
}

std::vector<HostileCase> BrokenNeighbours() {
  const auto two = [](const char* a, const char* b) {
    return std::string(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)") + a +
           R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + b + "}}";
  };
  return {
      {"same range", File(two("[0,4]", "[0,4]"), 4), "expected offset 4 (overlap), got 0"},
      {"overlap", File(two("[0,4]", "[3,7]"), 7), "expected offset 4 (overlap), got 3"},
      {"overlap in reverse order", File(two("[3,7]", "[0,4]"), 7), "tensor 'a': expected offset 4"},
      {"hole between", File(two("[0,4]", "[5,9]"), 9),
       "tensor 'b': expected offset 4 (hole), got 5"},
      {"truncated data", File(two("[0,4]", "[4,8]"), 7), "tensor 'b': expected ordered offsets"},
  };
}

void ExpectAllFail(const std::vector<HostileCase>& cases) {
  for (const HostileCase& c : cases) {
    const auto result = OpenBytes(c.bytes);
    EXPECT_TRUE(FailsWith(result, c.code, c.message)) << c.name;
    if (!result) {
      EXPECT_NE(result.error().message.find("model.safetensors"), std::string::npos);
    }
  }
}

TEST(SafetensorsFile, RefusesBrokenHeaders) { ExpectAllFail(BrokenHeaders()); }
TEST(SafetensorsFile, RefusesBrokenEntries) { ExpectAllFail(BrokenEntries()); }
TEST(SafetensorsFile, RefusesBrokenNeighbours) { ExpectAllFail(BrokenNeighbours()); }

TEST(SafetensorsFile, ReportsAbsentFiles) {
  const TempDir dir;
  EXPECT_TRUE(FailsWith(SafetensorsFile::Open(dir / "absent"), ErrorCode::kNotFound, "absent"));
  EXPECT_TRUE(FailsWith(SafetensorsFile::Open(dir.path()), ErrorCode::kIo, "regular file"));
}

TEST(SafetensorsFile, AcceptsTheEdgesOfTheFormat) {
  EXPECT_TRUE(Succeeds(OpenBytes(File("{}"))));
  EXPECT_TRUE(Succeeds(OpenBytes(File("{}      "))));  // padding
  const auto scalar = OpenBytes(File(One("F64", "[]", "[0,8]"), 8));
  ASSERT_TRUE(Succeeds(scalar));
  EXPECT_EQ(scalar->tensors().at("x").num_elements(), 1);
  const auto empty = OpenBytes(File(One("F64", "[3,0,5]", "[0,0]")));
  ASSERT_TRUE(Succeeds(empty));
  EXPECT_EQ(empty->tensors().at("x").num_elements(), 0);
  EXPECT_TRUE(Succeeds(
      OpenBytes(File(R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"more":1}})", 1))));
}

TEST(SafetensorsFile, ShowsTensorsInAnyOrderAndMetadata) {
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"late":{"dtype":"I16","shape":[2],"data_offsets":[3,7]},)"
      R"("none":{"dtype":"F32","shape":[0],"data_offsets":[3,3]},)"
      R"("early":{"dtype":"U8","shape":[1,3],"data_offsets":[0,3]}})";
  const auto file = OpenBytes(Length(header.size()) + header + "abc\x01\x02\xff\xff");
  ASSERT_TRUE(Succeeds(file));
  EXPECT_EQ(file->metadata(), (std::map<std::string, std::string>{{"format", "pt"}}));
  ASSERT_EQ(file->tensors().size(), 3u);
  const TensorView& early = file->tensors().at("early");
  EXPECT_EQ(early.dtype, DType::kU8);
  EXPECT_EQ(early.shape, (Shape{1, 3}));
  EXPECT_EQ(std::memcmp(early.data, "abc", 3), 0);
  const TensorView& late = file->tensors().at("late");
  int16_t values[2];
  ASSERT_EQ(late.num_bytes, 4);
  std::memcpy(values, late.data, 4);
  EXPECT_EQ(values[0], 0x0201);
  EXPECT_EQ(values[1], -1);
}

TEST(SafetensorsFile, KnowsEachDType) {
  for (const auto& [name, dtype] : std::map<std::string, DType>{{"F32", DType::kF32},
                                                                {"F16", DType::kF16},
                                                                {"BF16", DType::kBF16},
                                                                {"F64", DType::kF64},
                                                                {"I8", DType::kI8},
                                                                {"I16", DType::kI16},
                                                                {"I32", DType::kI32},
                                                                {"I64", DType::kI64},
                                                                {"U8", DType::kU8},
                                                                {"BOOL", DType::kBool}}) {
    const size_t bytes = 3 * BlockBytes(dtype);
    const auto file = OpenBytes(File(One(name, "[3]", fmt::format("[0,{}]", bytes)), bytes));
    ASSERT_TRUE(Succeeds(file)) << name;
    EXPECT_EQ(file->tensors().at("x").dtype, dtype) << name;
  }
}

}  // namespace
}  // namespace unswift
