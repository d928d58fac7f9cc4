#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "tests/base/expect_error.h"
#include "tests/testing/test_data.h"
#include "unswift/io/json.h"
#include "unswift/io/safetensors.h"

namespace unswift {
namespace {

std::vector<std::byte> Pattern(size_t count, int seed) {
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i * 31 + seed);
  return bytes;
}

TEST(SafetensorsWriter, RoundTripOfEveryDType) {
  const TempDir dir;
  const std::vector<TensorSpec> specs = {{"z", DType::kF32, {3, 5}},    {"a", DType::kBF16, {7}},
                                         {"m", DType::kF16, {2, 2, 2}}, {"s", DType::kF64, {}},
                                         {"e", DType::kI64, {0, 4}},    {"b", DType::kBool, {3}},
                                         {"u", DType::kU8, {1}},        {"i", DType::kI8, {5}},
                                         {"h", DType::kI16, {1}},       {"n", DType::kI32, {2}}};
  auto writer = SafetensorsWriter::Create(dir / "f", specs, {{"k", "v\n\xc3\xa9"}});
  ASSERT_TRUE(Succeeds(writer));
  int64_t total = 0;
  for (size_t i = 0; i < specs.size(); ++i) {
    const size_t bytes = NumElements(specs[i].shape) * BlockBytes(specs[i].dtype);
    ASSERT_TRUE(Succeeds(writer->Append(Pattern(bytes, i))));
    total += bytes;
  }
  EXPECT_EQ(writer->bytes_written(), total);
  ASSERT_TRUE(Succeeds(writer->Finish()));

  const auto file = SafetensorsFile::Open(dir / "f");
  ASSERT_TRUE(Succeeds(file));
  EXPECT_EQ(file->metadata(), (std::map<std::string, std::string>{{"k", "v\n\xc3\xa9"}}));
  ASSERT_EQ(file->tensors().size(), specs.size());
  const std::byte* expected_begin = file->tensors().at("z").data;
  for (size_t i = 0; i < specs.size(); ++i) {
    const TensorView& view = file->tensors().at(specs[i].name);
    EXPECT_EQ(view.dtype, specs[i].dtype);
    EXPECT_EQ(view.shape, specs[i].shape);
    EXPECT_EQ(view.data, expected_begin) << "order of the specs";
    const std::vector<std::byte> pattern = Pattern(view.num_bytes, i);
    EXPECT_TRUE(std::equal(pattern.begin(), pattern.end(), view.data)) << specs[i].name;
    expected_begin += view.num_bytes;
  }
}

TEST(SafetensorsWriter, DataStartsAtAMultipleOfEight) {
  const TempDir dir;
  for (int length = 1; length <= 16; ++length) {
    auto writer =
        SafetensorsWriter::Create(dir / "f", {{std::string(length, 'x'), DType::kU8, {1}}});
    ASSERT_TRUE(Succeeds(writer));
    ASSERT_TRUE(Succeeds(writer->Append(Pattern(1, 0))));
    ASSERT_TRUE(Succeeds(writer->Finish()));
    EXPECT_EQ((std::filesystem::file_size(dir / "f") - 1) % 8, 0u) << length;
    EXPECT_TRUE(Succeeds(SafetensorsFile::Open(dir / "f")));
  }
}

TEST(SafetensorsWriter, PiecesNeedNotMeetTensors) {
  const TempDir dir;
  auto writer =
      SafetensorsWriter::Create(dir / "f", {{"a", DType::kI32, {1000}}, {"b", DType::kU8, {4001}}});
  ASSERT_TRUE(Succeeds(writer));
  const std::vector<std::byte> bytes = Pattern(8001, 3);
  for (size_t begin = 0, piece = 0; begin < bytes.size(); begin += piece, ++piece) {
    const auto rest = std::span(bytes).subspan(begin);
    ASSERT_TRUE(Succeeds(writer->Append(rest.first(std::min(piece, rest.size())))));
  }
  ASSERT_TRUE(Succeeds(writer->Finish()));
  const auto file = SafetensorsFile::Open(dir / "f");
  ASSERT_TRUE(Succeeds(file));
  EXPECT_EQ(std::memcmp(file->tensors().at("a").data, bytes.data(), bytes.size()), 0);
}

TEST(SafetensorsWriter, QuantisedMatricesArePacked) {
  const TempDir dir;
  auto writer = SafetensorsWriter::Create(
      dir / "f", {{"q8", DType::kQ8_0, {3, 64}}, {"q4", DType::kQ4_0, {33, 33}}});
  ASSERT_TRUE(Succeeds(writer));
  ASSERT_TRUE(Succeeds(writer->Append(Pattern(2 * 544 + 6 * 288, 0))));
  ASSERT_TRUE(Succeeds(writer->Finish()));
  const auto file = SafetensorsFile::Open(dir / "f");
  ASSERT_TRUE(Succeeds(file));
  EXPECT_EQ(file->tensors().at("q8").dtype, DType::kU8);
  EXPECT_EQ(file->tensors().at("q8").shape, (Shape{1, 2, 544}));
  EXPECT_EQ(file->tensors().at("q4").shape, (Shape{3, 2, 288}));
}

TEST(SafetensorsWriter, NoTensors) {
  const TempDir dir;
  auto writer = SafetensorsWriter::Create(dir / "f", {});
  ASSERT_TRUE(Succeeds(writer));
  ASSERT_TRUE(Succeeds(writer->Finish()));
  EXPECT_TRUE(SafetensorsFile::Open(dir / "f").value().tensors().empty());
}

TEST(SafetensorsWriter, RefusesBadSpecs) {
  const TempDir dir;
  const int64_t huge = std::numeric_limits<int64_t>::max();
  const auto fails = [&](std::vector<TensorSpec> specs, const char* part) {
    return FailsWith(SafetensorsWriter::Create(dir / "f", specs), ErrorCode::kInvalidArgument,
                     part);
  };
  EXPECT_TRUE(fails({{"a", DType::kU8, {1}}, {"a", DType::kU8, {1}}}, "got 'a' again"));
  EXPECT_TRUE(fails({{"__metadata__", DType::kU8, {1}}}, "__metadata__"));
  EXPECT_TRUE(fails({{"a", DType::kU8, {-1}}}, "fits u8, got [-1]"));
  EXPECT_TRUE(fails({{"a", DType::kF32, {huge}}}, "fits f32"));
  EXPECT_TRUE(fails({{"a", DType::kU8, {huge}}, {"b", DType::kU8, {1}}}, "tensor 'b'"));
  EXPECT_TRUE(fails({{"a", DType::kQ8_0, {32}}}, "fits q8_0, got [32]"));
  EXPECT_TRUE(fails({{"a", DType::kQ8_0, {2, 2, 32}}}, "fits q8_0, got [2, 2, 32]"));
  EXPECT_TRUE(fails({{"a", DType::kQ8_0, {-1, 32}}}, "fits q8_0"));
  EXPECT_TRUE(fails({{"a", DType::kQ8_0, {huge, 32}}}, "fits q8_0"));
  EXPECT_TRUE(fails({{"\xff", DType::kU8, {1}}}, "UTF-8"));
  EXPECT_FALSE(std::filesystem::exists(dir / "f"));
}

TEST(SafetensorsWriter, PiecesFollowEachOtherWhoeverWritesThem) {
  const TempDir dir;
  const std::vector<std::byte> bytes = Pattern((9 << 20) + 5, 3);
  const std::span<const std::byte> all(bytes);
  const int64_t total = static_cast<int64_t>(bytes.size());
  for (const int threads : {1, 2, 5}) {
    auto writer = SafetensorsWriter::Create(dir / "f", {{"a", DType::kU8, {total}}});
    ASSERT_TRUE(Succeeds(writer));
    ASSERT_TRUE(Succeeds(writer->Append(all.first(7))));
    std::vector<DataPiece> pieces;
    AppendAsPieces(all.subspan(7, 6 << 20), pieces);
    for (size_t begin = 7 + (6 << 20); begin + 3 < bytes.size(); begin += 99'991) {
      const auto part = all.subspan(begin, std::min<size_t>(99'991, bytes.size() - 3 - begin));
      pieces.push_back({.num_bytes = static_cast<int64_t>(part.size()),
                        .make = [part](std::span<std::byte> out) -> Result<> {
                          std::ranges::copy(part, out.begin());
                          return {};
                        }});
    }
    ThreadPool pool(threads);
    int beside = 0;
    ASSERT_TRUE(Succeeds(writer->AppendPieces(pieces, pool, [&] { ++beside; })));
    EXPECT_EQ(beside, 1);
    ASSERT_TRUE(Succeeds(writer->Append(all.last(3))));
    EXPECT_EQ(writer->bytes_written(), total);
    ASSERT_TRUE(Succeeds(writer->Finish()));
    const auto file = SafetensorsFile::Open(dir / "f");
    ASSERT_TRUE(Succeeds(file));
    EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), file->tensors().at("a").data)) << threads;
  }
}

TEST(SafetensorsWriter, ReportsThePieceThatFailed) {
  const TempDir dir;
  ThreadPool pool(2);
  const std::vector<std::byte> bytes = Pattern(4, 0);
  const auto fail = [](std::span<std::byte>) -> Result<> {
    return MakeError(ErrorCode::kInvalidData, "no theta today");
  };
  auto writer = SafetensorsWriter::Create(dir / "f", {{"a", DType::kU8, {8}}});
  ASSERT_TRUE(Succeeds(writer));
  EXPECT_TRUE(FailsWith(writer->AppendPieces({{bytes}, {.num_bytes = 4, .make = fail}}, pool),
                        ErrorCode::kInvalidData, "no theta today"));
  EXPECT_TRUE(FailsWith(writer->AppendPieces({{bytes}, {bytes}, {bytes}}, pool),
                        ErrorCode::kInvalidArgument, "expected 8 more bytes of data, got 12"));
  auto full = SafetensorsWriter::Create("/dev/full", {{"a", DType::kU8, {4}}});
  ASSERT_TRUE(Succeeds(full));
  EXPECT_TRUE(FailsWith(full->AppendPieces({{bytes}}, pool), ErrorCode::kIo, "No space left"));
}

TEST(SafetensorsWriter, RefusesTooManyAndTooFewBytes) {
  const TempDir dir;
  auto writer = SafetensorsWriter::Create(dir / "f", {{"a", DType::kU8, {4}}});
  ASSERT_TRUE(Succeeds(writer));
  EXPECT_TRUE(FailsWith(writer->Append(Pattern(5, 0)), ErrorCode::kInvalidArgument,
                        "expected 4 more bytes of data, got 5"));
  ASSERT_TRUE(Succeeds(writer->Append(Pattern(3, 0))));
  EXPECT_TRUE(
      FailsWith(writer->Finish(), ErrorCode::kInvalidArgument, "expected 4 bytes of data, got 3"));
}

TEST(SafetensorsWriter, ReportsTheSystemsReason) {
  const TempDir dir;
  EXPECT_TRUE(FailsWith(SafetensorsWriter::Create(dir / "absent/f", {}), ErrorCode::kIo,
                        "No such file or directory"));
  // Small data stays in the buffer until the end.
  auto small = SafetensorsWriter::Create("/dev/full", {{"a", DType::kU8, {4}}});
  ASSERT_TRUE(Succeeds(small));
  ASSERT_TRUE(Succeeds(small->Append(Pattern(4, 0))));
  EXPECT_TRUE(FailsWith(small->Finish(), ErrorCode::kIo, "No space left on device"));
  constexpr int64_t kLarge = 4 << 20;
  auto large = SafetensorsWriter::Create("/dev/full", {{"a", DType::kU8, {kLarge}}});
  ASSERT_TRUE(Succeeds(large));
  EXPECT_TRUE(
      FailsWith(large->Append(Pattern(kLarge, 0)), ErrorCode::kIo, "No space left on device"));
}

TEST(SafetensorsWriter, MovesKeepTheBuffer) {
  const TempDir dir;
  auto first = SafetensorsWriter::Create(dir / "f", {{"a", DType::kU8, {4}}});
  ASSERT_TRUE(Succeeds(first));
  SafetensorsWriter second(std::move(*first));
  ASSERT_TRUE(Succeeds(second.Append(Pattern(4, 0))));
  ASSERT_TRUE(Succeeds(second.Finish()));
  EXPECT_TRUE(Succeeds(SafetensorsFile::Open(dir / "f")));
}

}  // namespace
}  // namespace unswift
