// Attention of a few query rows: bound by reading keys and values once. Compiled once per target.
//
// One work item = one key/value head x one split of the keys; all query rows that read the head
// (positions x heads of its group) share the pass. Splits are merged afterwards in order.

HWY_BEFORE_NAMESPACE();
namespace unswift {
namespace HWY_NAMESPACE {

constexpr int64_t kPrefetchFloats = 256;
constexpr int kMaxSharedRows = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON ? 4 : 2;
constexpr int kStreams = 4;

/// Keys (or values) of a split are read as four streams side by side, as weights are in
/// matmul-inl.h: pass i takes keys i, i + distance, i + 2 distance, i + 3 distance; the up to three
/// keys left over form a last pass, in which a stream beyond the end repeats the last key, unused.
struct KeyStreams {
  int64_t count, distance, num_passes;
  explicit KeyStreams(int64_t count)
      : count(count), distance(count / kStreams), num_passes(distance + (count % kStreams != 0)) {}
  HWY_INLINE int64_t Key(int64_t pass, int stream) const {
    return pass < distance ? pass + stream * distance : kStreams * distance + stream;
  }
};

/// The sums of four vectors.
HWY_INLINE void SumFour(const F32Vec* v, float* sums) {
#if HWY_TARGET == HWY_SCALAR
  for (int i = 0; i < 4; ++i) sums[i] = Sum(v[i]);
#else
  const hn::RepartitionToWide<F32Tag> wide;
  const auto pair = [](F32Vec a, F32Vec b) HWY_ATTR {  // per 128-bit block: a b a b
    const F32Tag d;
    return hn::Add(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b));
  };
  const auto ab = hn::BitCast(wide, pair(v[0], v[1]));
  const auto cd = hn::BitCast(wide, pair(v[2], v[3]));
  const auto lower = hn::BitCast(F32Tag(), hn::InterleaveLower(wide, ab, cd));
  const auto upper = hn::BitCast(F32Tag(), hn::InterleaveUpper(wide, ab, cd));
  HWY_ALIGN float blocks[kLanes];
  hn::Store(hn::Add(lower, upper), F32Tag(), blocks);
  const hn::CappedTag<float, 4> d4;
  auto total = hn::Load(d4, blocks);
  for (int64_t i = 4; i < kLanes; i += 4) total = hn::Add(total, hn::Load(d4, blocks + i));
  hn::StoreU(total, d4, sums);
#endif
}

/// scores[r][key] = scale * q_r . key for kRows query rows and all keys of a split.
template <int kRows>
void ScoreRows(const AttentionCall& call, const float* const* queries, const float* keys,
               int64_t count, float* scores) {
  const int64_t n = call.kv.head_dim;
  const KeyStreams streams(count);
  for (int64_t pass = 0; pass < streams.num_passes; ++pass) {
    const float* key[kStreams];
    for (int s = 0; s < kStreams; ++s) key[s] = keys + HWY_MIN(streams.Key(pass, s), count - 1) * n;
    F32Vec acc[kRows][kStreams];
    for (int r = 0; r < kRows; ++r) {
      for (int s = 0; s < kStreams; ++s) acc[r][s] = hn::Zero(F32Tag());
    }
    const auto add = [&](int64_t i, auto load) HWY_ATTR {
      F32Vec q[kRows];
      HWY_UNROLL(4)
      for (int r = 0; r < kRows; ++r) q[r] = load(queries[r] + i);
      HWY_UNROLL(4)
      for (int s = 0; s < kStreams; ++s) {
        const auto k = load(key[s] + i);
        HWY_UNROLL(4)
        for (int r = 0; r < kRows; ++r) acc[r][s] = hn::MulAdd(q[r], k, acc[r][s]);
      }
    };
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      for (int s = 0; s < kStreams; ++s) hwy::Prefetch(key[s] + i + kPrefetchFloats);
      add(i, [](const float* p) HWY_ATTR { return LoadFloats(p); });
    }
    if (i < n) add(i, [&](const float* p) HWY_ATTR { return LoadFirst(p, n - i); });
    for (int r = 0; r < kRows; ++r) {
      float sums[kStreams];
      SumFour(acc[r], sums);
      for (int s = 0; s < kStreams && streams.Key(pass, s) < count; ++s) {
        scores[r * kDecodeSplit + streams.Key(pass, s)] = call.options.scale * sums[s];
      }
    }
  }
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
    auto p = ExpNonPositive(hn::Sub(LoadUpTo(scores + j, count), hn::Set(d, largest)));
    if (count < kLanes) p = hn::IfThenElseZero(hn::FirstN(d, count), p);
    StoreUpTo(p, scores + j, count);
    total = hn::Add(total, p);
  });
  return Sum(total);
}

/// out[r][dims of kVecs vectors] = sum over keys of weight[r][key] * value[key][dims].
template <int kRows, int kVecs>
void WeightValues(const float* weights, int64_t count, const float* values, int64_t head_dim,
                  float* out, int64_t out_stride) {
  const KeyStreams streams(count);
  F32Vec acc[kRows][kVecs];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVecs; ++v) acc[r][v] = hn::Zero(F32Tag());
  }
  for (int64_t pass = 0; pass < streams.num_passes; ++pass) {
    for (int s = 0; s < kStreams; ++s) {
      const int64_t key = streams.Key(pass, s);
      if (key >= count) break;
      const float* row = values + key * head_dim;
      HWY_UNROLL(4)
      for (int v = 0; v < kVecs; ++v) {
        hwy::Prefetch(row + v * kLanes + kPrefetchFloats);
        const auto value = LoadFloats(row + v * kLanes);
        HWY_UNROLL(4)
        for (int r = 0; r < kRows; ++r) {
          acc[r][v] =
              hn::MulAdd(hn::Set(F32Tag(), weights[r * kDecodeSplit + key]), value, acc[r][v]);
        }
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVecs; ++v) StoreFloats(acc[r][v], out + r * out_stride + v * kLanes);
  }
}

template <int kRows>
void WeightValueRows(const float* weights, int64_t count, const float* values, int64_t head_dim,
                     float* out, int64_t out_stride) {
  int64_t d = 0;
  for (; d + 4 * kLanes <= head_dim; d += 4 * kLanes) {
    WeightValues<kRows, 4>(weights, count, values + d, head_dim, out + d, out_stride);
  }
  for (; d + kLanes <= head_dim; d += kLanes) {
    WeightValues<kRows, 1>(weights, count, values + d, head_dim, out + d, out_stride);
  }
  for (int r = 0; r < kRows; ++r) {
    for (int64_t i = d; i < head_dim; ++i) {
      float sum = 0.0f;
      for (int64_t key = 0; key < count; ++key) {
        sum += weights[r * kDecodeSplit + key] * values[key * head_dim + i];
      }
      out[r * out_stride + i] = sum;
    }
  }
}

/// kRows query rows of one position: they see the same keys. partial: [kRows][2 + head_dim].
template <int kRows>
void DecodeRows(const AttentionCall& call, const float* const* queries, const float* keys,
                const float* values, int64_t count, float* scores, float* partial) {
  const int64_t size = PartialSize(call.kv.head_dim);
  ScoreRows<kRows>(call, queries, keys, count, scores);
  for (int r = 0; r < kRows; ++r) {
    if (call.options.softcap > 0.0f) {
      SoftCapRow(scores + r * kDecodeSplit, count, call.options.softcap);
    }
    partial[r * size + 1] = ExpScores(scores + r * kDecodeSplit, count, partial[r * size]);
  }
  WeightValueRows<kRows>(scores, count, values, call.kv.head_dim, partial + 2, size);
}

void DecodeRowsOf(int64_t rows, const AttentionCall& call, const float* const* queries,
                  const float* keys, const float* values, int64_t count, float* scores,
                  float* partial) {
  switch (HWY_MIN(rows, int64_t{kMaxSharedRows})) {
    case 1:
      return DecodeRows<1>(call, queries, keys, values, count, scores, partial);
    case 2:
      return DecodeRows<2>(call, queries, keys, values, count, scores, partial);
    case 3:
      return DecodeRows<HWY_MIN(3, kMaxSharedRows)>(call, queries, keys, values, count, scores,
                                                    partial);
    default:
      return DecodeRows<kMaxSharedRows>(call, queries, keys, values, count, scores, partial);
  }
}

/// Work item (kv_head, keys [begin, end)). scratch: DecodeScratch() floats; partial: [q rows *
/// group][2 + head_dim]. Query rows share a pass over the keys by up to kMaxSharedRows; later
/// passes find the split in the cache.
void DecodeSplitKernel(const AttentionCall& call, int64_t kv_head, int64_t begin, int64_t end,
                       float* scratch, float* partial) {
  const int64_t head_dim = call.kv.head_dim;
  float* scores = scratch;
  float* widened = scratch + kMaxSharedRows * kDecodeSplit;
  const float* all_keys = KvRows(call.kv, call.kv.keys, kv_head, begin, end - begin, widened);
  const float* all_values = KvRows(call.kv, call.kv.values, kv_head, begin, end - begin,
                                   widened + kDecodeSplit * head_dim);
  for (int64_t i = 0; i < call.q.rows; ++i) {
    const int64_t first = HWY_MAX(begin, call.FirstVisible(i));
    const int64_t count = HWY_MIN(end, call.EndVisible(i)) - first;
    const float* keys = all_keys + (first - begin) * head_dim;
    const float* values = all_values + (first - begin) * head_dim;
    for (int64_t g = 0; g < call.group; g += kMaxSharedRows) {
      const int64_t rows = HWY_MIN(call.group - g, int64_t{kMaxSharedRows});
      const float* queries[kMaxSharedRows] = {};
      for (int64_t r = 0; r < rows; ++r) {
        queries[r] = call.Query(i, kv_head * call.group + g + r);
        partial[r * PartialSize(head_dim) + 1] = 0.0f;  // if nothing is visible: no weight
      }
      if (count > 0) DecodeRowsOf(rows, call, queries, keys, values, count, scores, partial);
      partial += rows * PartialSize(head_dim);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace unswift
HWY_AFTER_NAMESPACE();
