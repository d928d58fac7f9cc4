#include "unswift/ops/attention.h"

#include <algorithm>

#include "tests/ops/kernel_test.h"
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
  explicit Cache(const Case& c, double key_scale = 1.0) {
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
    view = {keys.data(), values.data(), stride, c.kv_len, c.num_kv_heads, c.head_dim};
  }
  std::vector<float> keys, values;
  KvView view;
};

// Score error: a dot product of d terms plus scaling, d + 2 roundings of sum |q k|; subtracting the
// running maximum and the reduction inside exp, 2 u |score| each. A score off by e scales a weight
// by exp(e), in numerator and denominator: 2 e relative. Sums over keys add kv_len roundings at
// most to each, exp, rescaling and the division 12 u. All relative to sum weight |value| <= max
// |value|.
double Tolerance(ConstRows q, const KvView& kv, double scale) {
  double largest_dot = 0.0, largest_value = 0.0;
  const int64_t group = q.cols / kv.head_dim / kv.num_key_value_heads;
  for (int64_t r = 0; r < q.rows; ++r) {
    for (int64_t head = 0; head < q.cols / kv.head_dim; ++head) {
      for (int64_t p = 0; p < kv.kv_len; ++p) {
        const int64_t at = head / group * kv.head_stride + p * kv.head_dim;
        double dot = 0.0;
        for (int64_t i = 0; i < kv.head_dim; ++i) {
          dot += std::abs(double(q.row(r)[head * kv.head_dim + i]) * kv.keys[at + i]);
          largest_value = std::max<double>(largest_value, std::abs(kv.values[at + i]));
        }
        largest_dot = std::max(largest_dot, dot);
      }
    }
  }
  const double score_error = (kv.head_dim + 2 + 4) * kUnitRoundoff * scale * largest_dot;
  return (2 * score_error + (2.0 * kv.kv_len + 12.0) * kUnitRoundoff) * largest_value;
}

void Check(const Case& c, double key_scale = 1.0) {
  ThreadPool pool(2);
  TestRows q(c.q_len, c.num_heads * c.head_dim, 1), out(c.q_len, c.num_heads * c.head_dim, 2);
  const Cache cache(c, key_scale);
  const float scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));
  Attention(q.view(), cache.view, scale, out.view(), pool);
  const auto expected = reference::Attention(q.view(), cache.view, scale);
  const double tolerance = Tolerance(q.view(), cache.view, scale);
  for (int64_t r = 0; r < c.q_len; ++r) {
    for (int64_t i = 0; i < out.view().cols; ++i) {
      ASSERT_NEAR(out.view().row(r)[i], expected.at(r, i), tolerance)
          << "q_len " << c.q_len << " kv_len " << c.kv_len << " heads " << c.num_heads << "/"
          << c.num_kv_heads << " dim " << c.head_dim << " at " << r << ", " << i;
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

TEST_P(AttentionTest, LargeScores) {
  Check({2, 300, 4, 2, 64}, 40.0);
  Check({70, 300, 4, 2, 64}, 40.0);
}

TEST_P(AttentionTest, SameBitsForAnyNumberOfThreads) {
  for (const Case& c : {Case{1, 1500, 4, 2, 64}, Case{100, 200, 4, 2, 64}}) {
    const Cache cache(c);
    std::vector<std::vector<float>> results;
    for (const int threads : {1, 2, 3}) {
      ThreadPool pool(threads);
      TestRows q(c.q_len, c.num_heads * c.head_dim, 1), out(c.q_len, c.num_heads * c.head_dim, 2);
      Attention(q.view(), cache.view, 0.125f, out.view(), pool);
      results.push_back(out.memory());
    }
    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(results[0], results[2]);
  }
}

}  // namespace
}  // namespace unswift
