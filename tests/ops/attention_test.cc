#include "unswift/ops/attention.h"
#include "unswift/ops/cpu/bf16_gemm.h"

#include <algorithm>

#include "tests/ops/kernel_test.h"
#include "unswift/ops/matmul.h"
#include "unswift/ops/reference/reference.h"

namespace unswift {
namespace {

class AttentionTest : public EveryTarget {};
UNSWIFT_INSTANTIATE_FOR_EVERY_TARGET(AttentionTest);

struct Case {
  int64_t q_len, kv_len, num_heads, num_kv_heads, head_dim;
};

/// Keys and values; head_stride leaves room behind kv_len, filled with NaN: nothing may read it.
struct Cache {
  explicit Cache(const Case& c, double key_scale = 1.0, DType dtype = DType::kF32) {
    const int64_t stride = (c.kv_len + 5) * c.head_dim;
    keys.assign(c.num_kv_heads * stride, std::nanf(""));
    values = keys;
    Random random(11);
    for (int64_t h = 0; h < c.num_kv_heads; ++h) {
      for (int64_t i = 0; i < c.kv_len * c.head_dim; ++i) {
        keys[h * stride + i] = static_cast<float>(key_scale * random.NextNormal());
        values[h * stride + i] = static_cast<float>(random.NextNormal());
      }
    }
    const auto store = [&](std::vector<float>& rows, std::vector<std::byte>& stored) {
      stored.resize(rows.size() * BlockBytes(dtype));
      RowFromF32(dtype, rows, stored.data());
      RowToF32(dtype, stored.data(), rows);
    };
    store(keys, stored_keys);
    store(values, stored_values);
    view = {stored_keys.data(), stored_values.data(), stride, c.kv_len,
            c.num_kv_heads,     c.head_dim,           dtype};
  }
  std::vector<float> keys, values;  // as stored
  std::vector<std::byte> stored_keys, stored_values;
  KvView view;
};

// Score error: a dot product of d terms plus scaling, d + 2 roundings of sum |q k|; subtracting the
// running maximum and the reduction inside exp, 2 u |score| each. A score off by e scales a weight
// by exp(e), in numerator and denominator: 2 e relative. Sums over keys add kv_len roundings at
// most to each, exp, rescaling and the division 12 u. All relative to sum weight |value| <= max
// |value|.
// AMX cuts queries and keys (2^-17 each, twice the terms in a score's sum), weights and values.
double Tolerance(ConstRows q, const Cache& cache, double scale) {
  const KvView& kv = cache.view;
  double largest_dot = 0.0, largest_value = 0.0;
  const int64_t group = q.cols / kv.head_dim / kv.num_key_value_heads;
  for (int64_t r = 0; r < q.rows; ++r) {
    for (int64_t head = 0; head < q.cols / kv.head_dim; ++head) {
      for (int64_t p = 0; p < kv.kv_len; ++p) {
        const int64_t at = head / group * kv.head_stride + p * kv.head_dim;
        double dot = 0.0;
        for (int64_t i = 0; i < kv.head_dim; ++i) {
          dot += std::abs(double(q.row(r)[head * kv.head_dim + i]) * cache.keys[at + i]);
          largest_value = std::max<double>(largest_value, std::abs(cache.values[at + i]));
        }
        largest_dot = std::max(largest_dot, dot);
      }
    }
  }
  const bool amx = q.rows > 4 && kv.head_dim % 32 == 0 && UsesAmx();
  const double cut = amx ? 2.0 * 0x1p-17 : 0.0;
  const double terms = (amx ? 4.0 : 1.0) * kv.head_dim + 2 + 4;
  const double score_error = (terms * kUnitRoundoff + cut) * scale * largest_dot;
  const double sum_error = ((amx ? 5.0 : 2.0) * kv.kv_len + 12.0) * kUnitRoundoff + cut;
  return (2 * score_error + sum_error) * largest_value;
}

void Check(const Case& c, double key_scale = 1.0, int64_t window = 0, float softcap = 0.0f,
           DType dtype = DType::kF32) {
  ThreadPool pool(2);
  TestRows q(c.q_len, c.num_heads * c.head_dim, 1), out(c.q_len, c.num_heads * c.head_dim, 2);
  const Cache cache(c, key_scale, dtype);
  AttentionOptions options;
  options.scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));
  options.window = window;
  options.softcap = softcap;
  Attention(q.view(), cache.view, options, out.view(), pool);
  const auto expected = reference::Attention(q.view(), cache.view, options);
  // The cap's slope is at most 1; its own error (SoftCap, 10 u |score|) is within a fourth more.
  const double tolerance =
      Tolerance(q.view(), cache, options.scale) * (softcap > 0.0f ? 1.25 : 1.0);
  for (int64_t r = 0; r < c.q_len; ++r) {
    for (int64_t i = 0; i < out.view().cols; ++i) {
      ASSERT_NEAR(out.view().row(r)[i], expected.at(r, i), tolerance)
          << "q_len " << c.q_len << " kv_len " << c.kv_len << " heads " << c.num_heads << "/"
          << c.num_kv_heads << " dim " << c.head_dim << " window " << window << " softcap "
          << softcap << " at " << r << ", " << i;
    }
  }
  EXPECT_TRUE(out.GapsUntouched());
}

TEST_P(AttentionTest, Decode) {
  for (int64_t q_len = 1; q_len <= 4; ++q_len) {
    for (const int64_t kv_len : {4, 5, 31, 255, 256, 257, 600}) {
      Check({q_len, kv_len, 6, 2, 64});
    }
    Check({q_len, 258, 3, 1, 80});  // the last split is seen by some rows only
    Check({q_len, 40, 2, 2, 5});
    Check({q_len, 40, 2, 2, 128});
  }
  Check({1, 1, 3, 3, 64});
}

TEST_P(AttentionTest, Prefill) {
  for (const int64_t q_len : {5, 16, 63, 64, 65, 150}) {
    Check({q_len, q_len, 6, 2, 64});
    Check({q_len, q_len + 37, 2, 2, 16});
  }
  Check({70, 70, 7, 1, 80});  // 9 positions of 7 heads: 63 of 64 rows
  Check({6, 200, 70, 1, 8});  // a group wider than a block
  Check({9, 130, 2, 1, 5});
  Check({20, 20, 1, 1, 129});
}

TEST_P(AttentionTest, StoredHalves) {
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    for (const int64_t q_len : {1, 3, 5, 70}) {
      Check({q_len, 300, 4, 2, 64}, 1.0, 0, 0.0f, dtype);
      Check({q_len, 130, 2, 1, 20}, 1.0, 100, 0.0f, dtype);
    }
  }
}

TEST_P(AttentionTest, LargeScores) {
  Check({2, 300, 4, 2, 64}, 40.0);
  Check({70, 300, 4, 2, 64}, 40.0);
}

// Two keys of scores 0 and x: the second weighs exp(x) / (1 + exp(x)). Relative error: 1.25 u |x|
// of exp's reduction (a quarter of u |x| where multiply-adds are fused), and a few roundings.
TEST_P(AttentionTest, WeightsAreExponentialsAtAnyDistance) {
  ThreadPool pool(1);
  const AttentionOptions options{.scale = 1.0f};
  for (const int64_t q_len : {1, 5}) {  // both kernels
    const std::vector<float> q(q_len, 1.0f), values = {0, 0, 0, 0, 0, 1};
    std::vector<float> out(q_len);
    for (float x = 0.0f; x > -84.0f; x -= 0.37f) {
      const std::vector<float> keys = {-1e30f, -1e30f, -1e30f, -1e30f, 0, x};
      const KvView kv{keys.data(), values.data(), 6, 6, 1, 1};
      Attention(ConstRows(q.data(), q_len, 1), kv, options, Rows(out.data(), q_len, 1), pool);
      const double expected = std::exp(double(x)) / (1.0 + std::exp(double(x)));
      ASSERT_NEAR(out.back() / expected, 1.0, (10.0 - 1.25 * x) * kUnitRoundoff)
          << "x " << x << ", rows " << q_len;
    }
  }
}

// Windows of one position, below, at and above the tiles and splits that the work is cut into.
TEST_P(AttentionTest, Windows) {
  for (const int64_t window : {1, 5, 63, 64, 65, 255, 256, 257, 600, 10000}) {
    for (const int64_t q_len : {1, 4}) {
      for (const int64_t kv_len : {4, 256, 257, 600, 1100}) {
        Check({q_len, kv_len, 4, 2, 16}, 1.0, window);
      }
    }
    for (const int64_t q_len : {5, 64, 150}) {
      Check({q_len, q_len, 6, 2, 16}, 1.0, window);
      Check({q_len, q_len + 301, 2, 2, 16}, 1.0, window);
    }
  }
  Check({70, 400, 7, 1, 80}, 1.0, 100);
}

TEST_P(AttentionTest, SoftCaps) {
  for (const float softcap : {0.7f, 5.0f, 50.0f}) {
    for (const int64_t window : {0, 33}) {
      Check({1, 300, 4, 2, 64}, 4.0, window, softcap);
      Check({3, 259, 6, 2, 20}, 4.0, window, softcap);
      Check({70, 150, 4, 2, 64}, 4.0, window, softcap);
    }
  }
}

TEST_P(AttentionTest, PositionsBeforeTheWindowAreNotRead) {
  ThreadPool pool(2);
  AttentionOptions options;
  options.window = 20;
  for (const int64_t q_len : {1, 40}) {
    const Case c = {q_len, 700, 2, 1, 16};
    Cache cache(c);
    const int64_t unseen = (700 - q_len - 20) / 256 * 256 * 16;  // whole splits and tiles
    std::fill_n(cache.keys.begin(), unseen, std::nanf(""));
    TestRows q(q_len, 32, 1), out(q_len, 32, 2);
    Attention(q.view(), cache.view, options, out.view(), pool);
    for (int64_t r = 0; r < q_len; ++r) {
      for (const float value : out.view().row(r)) ASSERT_TRUE(std::isfinite(value));
    }
  }
}

TEST_P(AttentionTest, SameBitsForAnyNumberOfThreads) {
  for (const Case& c : {Case{1, 1500, 4, 2, 64}, Case{100, 200, 4, 2, 64}}) {
    const Cache cache(c);
    std::vector<std::vector<float>> results;
    for (const int threads : {1, 2, 3}) {
      ThreadPool pool(threads);
      TestRows q(c.q_len, c.num_heads * c.head_dim, 1), out(c.q_len, c.num_heads * c.head_dim, 2);
      Attention(q.view(), cache.view, {.scale = 0.125f}, out.view(), pool);
      results.push_back(out.memory());
    }
    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(results[0], results[2]);
  }
}

}  // namespace
}  // namespace unswift
