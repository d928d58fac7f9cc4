// Attention of a few query rows: bound by reading keys and values once. Compiled once per target.
//
// One work item = one key/value head x one split of the keys; all query rows that read the head
// (positions x heads of its group) share the pass. Splits are merged afterwards in order.

HWY_BEFORE_NAMESPACE();
namespace unswift {
namespace HWY_NAMESPACE {

HWY_INLINE float DotRow(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, int64_t n) {
  auto even = hn::Zero(F32Tag()), odd = even;
  int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    even = hn::MulAdd(LoadFloats(a + i), LoadFloats(b + i), even);
    odd = hn::MulAdd(LoadFloats(a + i + kLanes), LoadFloats(b + i + kLanes), odd);
  }
  for (; i < n; i += kLanes) {
    const int64_t count = HWY_MIN(kLanes, n - i);
    even = hn::MulAdd(LoadUpTo(a + i, count), LoadUpTo(b + i, count), even);
  }
  return Sum(hn::Add(even, odd));
}

/// Turns scores into exp(score - max); returns max in `largest` and the sum.
HWY_INLINE float ExpScores(float* scores, int64_t n, float& largest) {
  const F32Tag d;
  auto top = hn::Set(d, scores[0]);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) top = hn::Max(top, LoadFloats(scores + i));
  largest = hn::GetLane(hn::MaxOfLanes(d, top));
  for (; i < n; ++i) largest = HWY_MAX(largest, scores[i]);
  auto total = hn::Zero(d);
  ForEachVector(n, [&](int64_t j, int64_t count) HWY_ATTR {
    auto p = hn::Exp(d, hn::Sub(LoadUpTo(scores + j, count), hn::Set(d, largest)));
    if (count < kLanes) p = hn::IfThenElseZero(hn::FirstN(d, count), p);
    StoreUpTo(p, scores + j, count);
    total = hn::Add(total, p);
  });
  return Sum(total);
}

/// out[dims of kVecs vectors] = sum over keys of weight * value; two chains hide the latency.
template <int kVecs>
HWY_INLINE void WeightValues(const float* weights, int64_t n, const float* values, int64_t head_dim,
                             float* out) {
  F32Vec acc[2][kVecs];
  for (int v = 0; v < kVecs; ++v) acc[0][v] = acc[1][v] = hn::Zero(F32Tag());
  const auto add = [&](int chain, int64_t key) HWY_ATTR {
    const auto w = hn::Set(F32Tag(), weights[key]);
    const float* row = values + key * head_dim;
    HWY_UNROLL(4)
    for (int v = 0; v < kVecs; ++v) {
      acc[chain][v] = hn::MulAdd(w, LoadFloats(row + v * kLanes), acc[chain][v]);
    }
  };
  int64_t key = 0;
  for (; key + 2 <= n; key += 2) {
    add(0, key);
    add(1, key + 1);
  }
  if (key < n) add(0, key);
  for (int v = 0; v < kVecs; ++v) StoreFloats(hn::Add(acc[0][v], acc[1][v]), out + v * kLanes);
}

HWY_INLINE void WeightValueRow(const float* weights, int64_t n, const float* values,
                               int64_t head_dim, float* out) {
  int64_t d = 0;
  for (; d + 4 * kLanes <= head_dim; d += 4 * kLanes) {
    WeightValues<4>(weights, n, values + d, head_dim, out + d);
  }
  for (; d + kLanes <= head_dim; d += kLanes) {
    WeightValues<1>(weights, n, values + d, head_dim, out + d);
  }
  for (; d < head_dim; ++d) {
    float sum = 0.0f;
    for (int64_t key = 0; key < n; ++key) sum += weights[key] * values[key * head_dim + d];
    out[d] = sum;
  }
}

/// Work item (kv_head, keys [begin, end)). scores: [q rows * group, kDecodeSplit] of scratch;
/// partial: [q rows * group][2 + head_dim].
void DecodeSplitKernel(const AttentionCall& call, int64_t kv_head, int64_t begin, int64_t end,
                       float* scores, float* partial) {
  const int64_t head_dim = call.kv.head_dim;
  const float* keys = call.kv.keys + kv_head * call.kv.head_stride;
  const float* values = call.kv.values + kv_head * call.kv.head_stride + begin * head_dim;
  const int64_t num_rows = call.q.rows * call.group;
  for (int64_t key = begin; key < end; ++key) {
    for (int64_t r = 0; r < num_rows; ++r) {
      const float* q = call.Query(r / call.group, kv_head * call.group + r % call.group);
      scores[r * kDecodeSplit + key - begin] =
          call.scale * DotRow(q, keys + key * head_dim, head_dim);
    }
  }
  for (int64_t r = 0; r < num_rows; ++r, partial += PartialSize(head_dim)) {
    const int64_t count = HWY_MIN(end, call.Visible(r / call.group)) - begin;
    partial[1] = 0.0f;  // nothing visible: a partial of no weight
    if (count <= 0) continue;
    float* row_scores = scores + r * kDecodeSplit;
    partial[1] = ExpScores(row_scores, count, partial[0]);
    WeightValueRow(row_scores, count, values, head_dim, partial + 2);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace unswift
HWY_AFTER_NAMESPACE();
