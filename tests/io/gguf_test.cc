#include "unswift/io/gguf.h"

#include <cmath>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "tests/base/expect_error.h"
#include "tests/io/gguf_builder.h"
#include "tests/testing/test_data.h"
#include "unswift/base/random.h"

namespace unswift {
namespace {

using V = GgufTestValue;

constexpr uint32_t kF32 = 0, kQ8_0 = 8, kIq2Xxs = 16;

Result<GgufFile> OpenBytes(const std::string& bytes) {
  const TempDir dir;
  WriteTextFile(dir / "model.gguf", bytes);
  return GgufFile::Open(dir / "model.gguf");
}

GgufBuilder Small() {
  GgufBuilder builder;
  builder.Value("general.architecture", V::String("llama"))
      .Value("u8", {0, RawBytes<uint8_t>(200)})
      .Value("i8", {1, RawBytes<int8_t>(-5)})
      .Value("u16", {2, RawBytes<uint16_t>(60000)})
      .Value("i16", {3, RawBytes<int16_t>(-300)})
      .Value("u32", V::Uint32(4000000000u))
      .Value("i32", {5, RawBytes<int32_t>(-70000)})
      .Value("f32", V::Float32(1e-5f))
      .Value("yes", V::Bool(true))
      .Value("u64", {10, RawBytes<uint64_t>(~0ull)})
      .Value("i64", {11, RawBytes<int64_t>(INT64_MIN)})
      .Value("f64", {12, RawBytes(0.1)})
      .Value("strings", V::Strings({"a", "", "\xe2\x96\x81x"}))
      .Value("ints", V::Ints({1, -2, 3}))
      .Value("floats", V::Floats({0.5f, 0.1f}))
      .Value("nested", V::Array(9, 2, V::Ints({1}).bytes + V::Strings({"x"}).bytes))
      .Value("not_utf8", V::String("\xff"));
  std::string values;
  for (int i = 0; i < 6; ++i) values += RawBytes(static_cast<float>(i));
  builder.Tensor("matrix", {3, 2}, kF32, values);
  builder.Tensor("blocks", {64, 2}, kQ8_0, std::string(4 * 34, '\1'));
  return builder;
}

TEST(GgufFile, ReadsValues) {
  const auto file = OpenBytes(Small().Build());
  ASSERT_TRUE(Succeeds(file));
  EXPECT_EQ(file->Get<std::string>("general.architecture").value(), "llama");
  EXPECT_EQ(file->Get<int64_t>("u8").value(), 200);
  EXPECT_EQ(file->Get<int64_t>("i8").value(), -5);
  EXPECT_EQ(file->Get<int64_t>("u16").value(), 60000);
  EXPECT_EQ(file->Get<int64_t>("i16").value(), -300);
  EXPECT_EQ(file->Get<int64_t>("u32").value(), 4000000000);
  EXPECT_EQ(file->Get<int64_t>("i32").value(), -70000);
  EXPECT_EQ(file->Get<int64_t>("i64").value(), INT64_MIN);
  EXPECT_EQ(file->Get<double>("f32").value(), 1e-5);  // not the widened float
  EXPECT_EQ(file->Get<double>("f64").value(), 0.1);
  EXPECT_EQ(file->Get<double>("i8").value(), -5.0);
  EXPECT_EQ(file->Get<bool>("yes").value(), true);
  EXPECT_EQ(file->GetArray<std::string_view>("strings").value(),
            (std::vector<std::string_view>{"a", "", "\xe2\x96\x81x"}));
  EXPECT_EQ(file->GetArray<int64_t>("ints").value(), (std::vector<int64_t>{1, -2, 3}));
  EXPECT_EQ(file->GetArray<double>("floats").value(), (std::vector<double>{0.5, 0.1}));
  EXPECT_TRUE(file->Has("nested"));
  EXPECT_FALSE(file->Has("absent"));
}

TEST(GgufFile, RefusesValuesOfAnotherKind) {
  const auto file = OpenBytes(Small().Build());
  ASSERT_TRUE(Succeeds(file));
  const auto invalid = ErrorCode::kInvalidData;
  EXPECT_TRUE(FailsWith(file->Get<int64_t>("absent"), ErrorCode::kNotFound, "'absent'"));
  EXPECT_EQ(file->GetOr<int64_t>("absent", 3).value(), 3);
  EXPECT_EQ(file->GetOr<std::string>("absent", "d").value(), "d");
  EXPECT_TRUE(FailsWith(file->GetOr<int64_t>("f32", 3), invalid, "'f32': expected a 64-bit int"));
  EXPECT_TRUE(FailsWith(file->Get<int64_t>("u64"), invalid, "'u64'"));
  EXPECT_TRUE(FailsWith(file->Get<bool>("u8"), invalid, "true or false"));
  EXPECT_TRUE(FailsWith(file->Get<double>("strings"), invalid, "a number"));
  EXPECT_TRUE(FailsWith(file->Get<std::string>("u8"), invalid, "a string"));
  EXPECT_TRUE(FailsWith(file->Get<std::string>("not_utf8"), invalid, "UTF-8"));
  EXPECT_TRUE(FailsWith(file->GetArray<double>("f32"), invalid, "expected an array"));
  EXPECT_TRUE(FailsWith(file->GetArray<double>("absent"), ErrorCode::kNotFound, "an array"));
  EXPECT_TRUE(FailsWith(file->GetArray<int64_t>("strings"), invalid, "'strings'[0]"));
  EXPECT_TRUE(FailsWith(file->GetArray<int64_t>("nested"), invalid, "'nested'[0]"));
}

TEST(GgufFile, ShowsTensorsInRowMajorOrder) {
  for (uint32_t version : {2, 3}) {
    GgufBuilder builder = Small();
    builder.version = version;
    const auto file = OpenBytes(builder.Build());
    ASSERT_TRUE(Succeeds(file));
    ASSERT_EQ(file->tensors().size(), 2u);
    const GgufTensor* matrix = file->FindTensor("matrix");
    ASSERT_NE(matrix, nullptr);
    EXPECT_EQ(matrix->shape, (Shape{2, 3}));
    EXPECT_EQ(matrix->num_bytes, 24);
    EXPECT_EQ(matrix->type->name, "F32");
    std::vector<float> row(3);
    ASSERT_TRUE(Succeeds(file->DequantizeRows(*matrix, 1, row)));
    EXPECT_EQ(row, (std::vector<float>{3, 4, 5}));
    file->Release(*matrix);
    EXPECT_EQ(file->FindTensor("blocks")->num_rows(), 2);
    EXPECT_EQ(file->FindTensor("absent"), nullptr);
  }
}

TEST(GgufFile, TypesWithoutAConversionCanBeOpenedButNotRead) {
  const auto file =
      OpenBytes(GgufBuilder().Tensor("k", {256}, kIq2Xxs, std::string(66, '\0')).Build());
  ASSERT_TRUE(Succeeds(file));
  std::vector<float> row(256);
  EXPECT_TRUE(FailsWith(file->DequantizeRows(*file->FindTensor("k"), 0, row),
                        ErrorCode::kUnsupported, "tensor 'k': expected one of F32"));
}

TEST(GgufFile, EveryShortenedFileIsRefused) {
  GgufBuilder builder = Small();
  builder.Tensor("last", {8}, kF32, std::string(32, 'x'));  // no padding behind it
  const std::string whole = builder.Build();
  ASSERT_TRUE(Succeeds(OpenBytes(whole)));
  const TempDir dir;
  for (size_t length = 0; length < whole.size(); ++length) {
    WriteTextFile(dir / "cut.gguf", whole.substr(0, length));
    ASSERT_FALSE(GgufFile::Open(dir / "cut.gguf")) << length;
  }
}

/// Reads whatever can be read.
void Exercise(const GgufFile& file) {
  for (const auto& [key, value] : file.metadata()) {
    (void)file.GetArray<std::string_view>(key).has_value();
    (void)file.GetArray<double>(key).has_value();
    (void)file.Get<int64_t>(key).has_value();
    (void)file.Get<std::string>(key).has_value();
  }
  for (const auto& [name, tensor] : file.tensors()) {
    std::vector<float> row(tensor.row_elements());
    for (int64_t i = 0; i < tensor.num_rows(); ++i) {
      (void)file.DequantizeRows(tensor, i, row).has_value();
    }
  }
}

// Bytes of the records are replaced; nothing may read outside the file (run it with ASan).
TEST(GgufFile, DamagedFilesAreReadOrRefused) {
  const std::string whole = Small().Build();
  const TempDir dir;
  WriteTextFile(dir / "damaged.gguf", whole);
  Random random(11);
  int opened = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string damaged = whole;
    for (int i = 0; i <= round % 3; ++i) {
      constexpr char kHard[] = {'\0', '\1', '\x7f', '\x80', '\xff', '\t', ' ', '\x40'};
      damaged[random.NextBelow(damaged.size())] = kHard[random.NextBelow(sizeof(kHard))];
    }
    // In place: truncating a file is slow on some file systems.
    std::fstream(dir / "damaged.gguf", std::ios::in | std::ios::out | std::ios::binary) << damaged;
    const auto file = GgufFile::Open(dir / "damaged.gguf");
    if (!file) continue;
    ++opened;
    Exercise(*file);
  }
  EXPECT_GT(opened, 100);   // damage in names, values and data
  EXPECT_LT(opened, 2900);  // damage in the structure
}

struct HostileCase {
  const char* name;
  std::string bytes;
  const char* message;
  ErrorCode code = ErrorCode::kInvalidData;
};

std::string Header(uint32_t version, uint64_t tensors, uint64_t values) {
  return "GGUF" + RawBytes(version) + RawBytes(tensors) + RawBytes(values);
}

std::string WithValue(const GgufTestValue& value) {
  return GgufBuilder().Value("k", value).Build();
}

std::vector<HostileCase> BrokenHeadersAndValues() {
  const auto unsupported = ErrorCode::kUnsupported;
  std::string deep = V::Ints({1}).bytes;
  for (int i = 0; i < 9; ++i) deep = V::Array(9, 1, deep).bytes;
  const std::string padding(64, '\0');
  return {
      {"empty", "", "starts with 'GGUF'"},
      {"other magic", "GGML" + padding, "starts with 'GGUF'"},
      {"big-endian", "GGUF" + std::string("\0\0\0\3", 4) + padding, "big-endian", unsupported},
      {"version 0", Header(0, 0, 0), "got 0", unsupported},
      {"version 1", Header(1, 0, 0), "expected version 2 or 3, got 1", unsupported},
      {"version 4", Header(4, 0, 0), "expected version 2 or 3, got 4", unsupported},
      {"too many tensors", Header(3, 3, 0) + padding, "do not fit"},
      {"too many values", Header(3, 0, 5) + padding, "do not fit"},
      {"2^64 - 1 tensors", Header(3, ~0ull, 0) + padding, "do not fit"},
      {"key length 2^64 - 1", Header(3, 0, 1) + RawBytes(~0ull) + padding, "expected a key"},
      {"key is not UTF-8", GgufBuilder().Value("\xff", V::Bool(true)).Build(), "expected UTF-8"},
      {"duplicate key", GgufBuilder().Value("k", V::Bool(true)).Value("k", V::Bool(true)).Build(),
       "got 'k' twice"},
      {"unknown type", WithValue({13, padding}), "known type, got type 13"},
      {"type 2^32 - 1", WithValue({~0u, padding}), "known type, got type 4294967295"},
      {"boolean 2", WithValue({7, "\2"}), "'k': expected a complete value"},
      {"string length", WithValue({8, RawBytes(1ull << 40)}), "'k': expected a complete value"},
      {"array of 2^63", WithValue(V::Array(0, 1ull << 63, padding)), "does not fit the file"},
      {"array whose bytes overflow", WithValue(V::Array(10, (1ull << 61) + 1, padding)),
       "does not fit the file"},
      {"strings cut short", WithValue(V::Array(8, 1000, padding)), "does not fit the file"},
      {"array of an unknown type", WithValue(V::Array(77, 2, padding)), "known type of elements"},
      {"nine nested arrays", WithValue({9, deep}), "at most 8 levels"},
  };
}

std::string WithTensor(const std::vector<uint64_t>& dims, uint32_t type, uint64_t offset = 0) {
  return GgufBuilder().TensorAt("t", dims, type, offset).Build() + std::string(4096, '\0');
}

std::vector<HostileCase> BrokenTensors() {
  const auto unsupported = ErrorCode::kUnsupported;
  const auto aligned = [](uint32_t alignment) {
    return GgufBuilder().Value("general.alignment", V::Uint32(alignment)).Build();
  };
  return {
      {"name is not UTF-8", GgufBuilder().Tensor("\xff", {1}, kF32, "abcd").Build(), "in UTF-8"},
      {"five dimensions", WithTensor({1, 1, 1, 1, 1}, kF32), "at most 4 dimensions, got 5"},
      {"2^32 - 1 dimensions",
       Header(3, 1, 0) + V::Text("t") + RawBytes(~0u) + std::string(99, '\0'), "got 4294967295"},
      {"zero dimension", WithTensor({4, 0}, kF32), "dimension of at least 1, got 0"},
      {"dimension 2^63", WithTensor({1ull << 63}, kF32), "got 9223372036854775808"},
      {"elements overflow", WithTensor({1ull << 32, 1ull << 32}, kF32), "the shape overflows"},
      {"bytes overflow", WithTensor({1ull << 62}, kF32), "the shape overflows"},
      {"unknown type", WithTensor({32}, 99), "tensor 't': expected a known type, got 99",
       unsupported},
      {"removed type", WithTensor({32}, 4), "expected a known type, got 4", unsupported},
      {"part of a block", WithTensor({33}, kQ8_0), "whole Q8_0 blocks of 32, got 33"},
      {"rows of part of a block", WithTensor({16, 2}, kQ8_0), "whole Q8_0 blocks of 32, got 16"},
      {"scalar of a block type", WithTensor({}, kQ8_0), "expected dimensions"},
      {"offset not aligned", WithTensor({1}, kF32, 16), "is not aligned"},
      {"offset behind the data", WithTensor({1}, kF32, 1 << 20), "reaches past the end"},
      {"offset 2^64 - 32", WithTensor({1}, kF32, ~0ull - 31), "reaches past the end"},
      {"end overflows", WithTensor({16}, kF32, ~0ull - 31), "reaches past the end"},
      {"extent behind the data", WithTensor({4096}, kF32), "reaches past the end"},
      {"overlap",
       GgufBuilder()
           .Tensor("a", {16}, kF32, std::string(64, 'a'))
           .TensorAt("b", {4}, kF32, 32)
           .Build(),
       "tensor 'b': [32, +16) of 64 bytes of data overlaps"},
      {"duplicate name",
       GgufBuilder().Tensor("a", {1}, kF32, "abcd").Tensor("a", {1}, kF32, "abcd").Build(),
       "got 'a' twice"},
      {"alignment 0", aligned(0), "power of two as general.alignment, got 0"},
      {"alignment 24", aligned(24), "power of two as general.alignment, got 24"},
      {"alignment is text", GgufBuilder().Value("general.alignment", V::String("32")).Build(),
       "general.alignment"},
  };
}

void ExpectAllFail(const std::vector<HostileCase>& cases) {
  for (const HostileCase& c : cases) {
    const auto result = OpenBytes(c.bytes);
    EXPECT_TRUE(FailsWith(result, c.code, c.message)) << c.name;
    if (!result) {
      EXPECT_NE(result.error().message.find("model.gguf"), std::string::npos);
    }
  }
}

TEST(GgufFile, RefusesBrokenHeadersAndValues) { ExpectAllFail(BrokenHeadersAndValues()); }
TEST(GgufFile, RefusesBrokenTensors) { ExpectAllFail(BrokenTensors()); }

TEST(GgufFile, OtherAlignments) {
  for (uint32_t alignment : {1, 8, 64, 4096}) {
    GgufBuilder builder;
    builder.alignment = alignment;
    builder.Value("general.alignment", V::Uint32(alignment))
        .Tensor("a", {1}, kF32, RawBytes(1.5f))
        .Tensor("b", {2}, kF32, RawBytes(2.5f) + RawBytes(3.5f));
    const auto file = OpenBytes(builder.Build());
    ASSERT_TRUE(Succeeds(file)) << alignment;
    std::vector<float> row(2);
    ASSERT_TRUE(Succeeds(file->DequantizeRows(*file->FindTensor("b"), 0, row)));
    EXPECT_EQ(row, (std::vector<float>{2.5f, 3.5f}));
  }
}

TEST(GgufFile, ReportsAbsentFiles) {
  EXPECT_TRUE(FailsWith(GgufFile::Open("/nowhere/x.gguf"), ErrorCode::kNotFound, "x.gguf"));
}

TEST(GgufFile, NoTensorsAndNoValues) { EXPECT_TRUE(Succeeds(OpenBytes(Header(3, 0, 0)))); }

}  // namespace
}  // namespace unswift
