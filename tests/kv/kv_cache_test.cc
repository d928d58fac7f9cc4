#include "unswift/kv/kv_cache.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "unswift/tensor/convert.h"

namespace unswift {
namespace {

constexpr KvShape kShape = {2, 3, 4};
constexpr int64_t kColumns = 3 * 4;

/// A value that says where it belongs.
float Value(int64_t layer, int64_t position, int64_t column, bool is_value) {
  return static_cast<float>(1000 * layer + 10 * position + 0.1 * column + (is_value ? 5000 : 0));
}

/// Rounds to halves: a codec that loses something, to see that the cache goes through it.
class HalvesCodec final : public KvCodec {
 public:
  std::string_view name() const override { return "halves"; }
  int64_t RowBytes(int64_t head_dim) const override { return 4 * head_dim; }
  void Encode(std::span<const float> row, std::byte* stored) const override {
    auto* out = reinterpret_cast<int32_t*>(stored);
    for (size_t i = 0; i < row.size(); ++i) out[i] = static_cast<int32_t>(std::lround(2 * row[i]));
  }
  void Decode(const std::byte* stored, std::span<float> row) const override {
    const auto* in = reinterpret_cast<const int32_t*>(stored);
    for (size_t i = 0; i < row.size(); ++i) row[i] = 0.5f * in[i];
  }
};

void AppendPositions(KvCache& cache, int64_t count) {
  const int64_t begin = cache.length();
  for (int64_t layer = 0; layer < kShape.num_layers; ++layer) {
    std::vector<float> keys, values;
    for (int64_t p = begin; p < begin + count; ++p) {
      for (int64_t c = 0; c < kColumns; ++c) {
        keys.push_back(Value(layer, p, c, false));
        values.push_back(Value(layer, p, c, true));
      }
    }
    cache.Append(layer, ConstRows(keys.data(), count, kColumns),
                 ConstRows(values.data(), count, kColumns));
  }
  cache.Advance(count);
}

float Stored(const KvView& view, const void* rows, int64_t at) {
  float value = 0.0f;
  RowToF32(view.dtype, static_cast<const std::byte*>(rows) + at * BlockBytes(view.dtype),
           {&value, 1});
  return value;
}

void ExpectHolds(KvCache& cache, int64_t positions, float tolerance) {
  EXPECT_EQ(cache.length(), positions);
  for (int64_t layer = 0; layer < kShape.num_layers; ++layer) {
    const KvView view = cache.View(layer);
    ASSERT_EQ(view.kv_len, positions);
    for (int64_t head = 0; head < kShape.num_key_value_heads; ++head) {
      for (int64_t p = 0; p < positions; ++p) {
        for (int64_t i = 0; i < kShape.head_dim; ++i) {
          const int64_t at = head * view.head_stride + p * view.head_dim + i;
          const int64_t column = head * kShape.head_dim + i;
          EXPECT_NEAR(Stored(view, view.keys, at), Value(layer, p, column, false), tolerance);
          EXPECT_NEAR(Stored(view, view.values, at), Value(layer, p, column, true), tolerance);
        }
      }
    }
  }
}

TEST(FullCache, KeepsEveryPositionAcrossGrowth) {
  auto cache = MakeKvCache(kShape);
  ASSERT_TRUE(cache.has_value());
  int64_t total = 0;
  for (int64_t count : {1, 5, 1, 60, 1, 200}) {  // crosses the first capacity and its double
    AppendPositions(**cache, count);
    total += count;
    ExpectHolds(**cache, total, 0.0f);
  }
  EXPECT_EQ((*cache)->num_bytes(), 2 * total * 4 * kColumns * kShape.num_layers);
}

TEST(FullCache, ClearForgetsAndStartsAgain) {
  auto cache = MakeKvCache(kShape).value();
  AppendPositions(*cache, 7);
  cache->Clear();
  EXPECT_EQ(cache->length(), 0);
  EXPECT_EQ(cache->num_bytes(), 0);
  AppendPositions(*cache, 3);
  ExpectHolds(*cache, 3, 0.0f);
}

TEST(FullCache, GoesThroughItsCodec) {
  const auto cache = MakeFullCache(kShape, std::make_shared<HalvesCodec>());
  AppendPositions(*cache, 70);
  ExpectHolds(*cache, 70, 0.2501f);
  const KvView view = cache->View(0);
  EXPECT_NE(Stored(view, view.keys, 1), Value(0, 0, 1, false));  // 0.1 is not a half
}

TEST(FullCache, HalvesTakeHalfTheBytes) {
  for (const char* codec : {"f16", "bf16"}) {
    auto cache = MakeKvCache(kShape, "full", codec).value();
    AppendPositions(*cache, 70);
    EXPECT_EQ(cache->num_bytes(), 2 * 70 * 2 * kColumns * kShape.num_layers);
    EXPECT_EQ(DTypeName(cache->View(0).dtype), codec);
    ExpectHolds(*cache, 70, 16.0f);  // half a bf16 ulp of the largest value, 6,700
  }
}

TEST(MakeKvCache, UnknownNamesAreErrorsThatList) {
  const auto policy = MakeKvCache(kShape, "ful");
  ASSERT_FALSE(policy.has_value());
  EXPECT_EQ(policy.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(policy.error().message.find("did you mean 'full'"), std::string::npos);
  const auto codec = MakeKvCache(kShape, "full", "int3");
  ASSERT_FALSE(codec.has_value());
  EXPECT_NE(codec.error().message.find("f32"), std::string::npos);
}

}  // namespace
}  // namespace unswift
