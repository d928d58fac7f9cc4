// Attention of many query rows: bound by arithmetic. Compiled once per target.
//
// Vector lanes are query rows, so scores stand transposed, [key][row]: maxima and sums over keys
// need no reduction across lanes, and keys and values are read as they lie in the cache (one
// broadcast per element). Online softmax: arXiv 2205.14135, algorithm 1, forward part.

HWY_BEFORE_NAMESPACE();
namespace unswift {
namespace HWY_NAMESPACE {

constexpr float kNoScore = -1e30f;  // finite: differences of two stay numbers
constexpr int kTileRowsMax = 6;
constexpr int kTileVecs = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON ? 4 : 2;
static_assert(kQueryBlock % (kTileVecs * kLanes) == 0);

/// c[i][.] (+)= sum over k of a[i * a_row + k * a_col] * b[k][.] for kI rows and kVecs vectors of
/// columns; b and c have rows of kQueryBlock floats.
template <int kI, int kVecs, bool kAdd>
void MicroTile(const float* HWY_RESTRICT a, int64_t a_row, int64_t a_col, int64_t k_count,
               const float* HWY_RESTRICT b, float* HWY_RESTRICT c) {
  const F32Tag d;
  F32Vec acc[kI][kVecs];
  HWY_UNROLL(6)
  for (int i = 0; i < kI; ++i) {
    HWY_UNROLL(4)
    for (int v = 0; v < kVecs; ++v) acc[i][v] = hn::Zero(d);
  }
  for (int64_t k = 0; k < k_count; ++k) {
    F32Vec columns[kVecs];
    HWY_UNROLL(4)
    for (int v = 0; v < kVecs; ++v) columns[v] = hn::Load(d, b + k * kQueryBlock + v * kLanes);
    HWY_UNROLL(6)
    for (int i = 0; i < kI; ++i) {
      const auto scalar = hn::Set(d, a[i * a_row + k * a_col]);
      HWY_UNROLL(4)
      for (int v = 0; v < kVecs; ++v) acc[i][v] = hn::MulAdd(scalar, columns[v], acc[i][v]);
    }
  }
  HWY_UNROLL(6)
  for (int i = 0; i < kI; ++i) {
    HWY_UNROLL(4)
    for (int v = 0; v < kVecs; ++v) {
      float* const at = c + i * kQueryBlock + v * kLanes;
      hn::Store(kAdd ? hn::Add(hn::Load(d, at), acc[i][v]) : acc[i][v], d, at);
    }
  }
}

template <int kVecs, bool kAdd>
void MicroTileRows(int64_t rows, const float* a, int64_t a_row, int64_t a_col, int64_t k_count,
                   const float* b, float* c) {
  switch (rows) {
    case 1:
      return MicroTile<1, kVecs, kAdd>(a, a_row, a_col, k_count, b, c);
    case 2:
      return MicroTile<2, kVecs, kAdd>(a, a_row, a_col, k_count, b, c);
    case 3:
      return MicroTile<3, kVecs, kAdd>(a, a_row, a_col, k_count, b, c);
    case 4:
      return MicroTile<4, kVecs, kAdd>(a, a_row, a_col, k_count, b, c);
    case 5:
      return MicroTile<5, kVecs, kAdd>(a, a_row, a_col, k_count, b, c);
    default:
      return MicroTile<kTileRowsMax, kVecs, kAdd>(a, a_row, a_col, k_count, b, c);
  }
}

/// The same for any number of rows; columns are those of `num_vecs` vectors.
template <bool kAdd>
void SmallGemm(int64_t rows, int64_t num_vecs, const float* a, int64_t a_row, int64_t a_col,
               int64_t k_count, const float* b, float* c) {
  for (int64_t i = 0; i < rows; i += kTileRowsMax) {
    const float* a_tile = a + i * a_row;
    float* c_tile = c + i * kQueryBlock;
    int64_t v = 0;
    for (; v + kTileVecs <= num_vecs; v += kTileVecs) {
      MicroTileRows<kTileVecs, kAdd>(rows - i, a_tile, a_row, a_col, k_count, b + v * kLanes,
                                     c_tile + v * kLanes);
    }
    for (; v < num_vecs; ++v) {
      MicroTileRows<1, kAdd>(rows - i, a_tile, a_row, a_col, k_count, b + v * kLanes,
                             c_tile + v * kLanes);
    }
  }
}

#if HWY_TARGET != HWY_SCALAR  // which has no vector of four
using FourTag = hn::FixedTag<float, 4>;
using Four = hn::Vec<FourTag>;

HWY_INLINE void Transpose(Four& a, Four& b, Four& c, Four& e) {
  const FourTag d;
  const auto low_ab = hn::InterleaveLower(d, a, b), high_ab = hn::InterleaveUpper(d, a, b);
  const auto low_ce = hn::InterleaveLower(d, c, e), high_ce = hn::InterleaveUpper(d, c, e);
  a = hn::ConcatLowerLower(d, low_ce, low_ab);
  b = hn::ConcatUpperUpper(d, low_ce, low_ab);
  c = hn::ConcatLowerLower(d, high_ce, high_ab);
  e = hn::ConcatUpperUpper(d, high_ce, high_ab);
}
#endif

/// columns[i][r] = scale * rows[r][i], i < n, r < kQueryBlock.
void RowsToColumns(const float* const* rows, int64_t n, float scale, float* columns) {
  int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  const FourTag d;
  const auto factor = hn::Set(d, scale);
  for (; i + 4 <= n; i += 4) {
    for (int64_t r = 0; r < kQueryBlock; r += 4) {
      Four v[4];
      for (int64_t j = 0; j < 4; ++j) v[j] = hn::Mul(factor, hn::LoadU(d, rows[r + j] + i));
      Transpose(v[0], v[1], v[2], v[3]);
      for (int64_t j = 0; j < 4; ++j) hn::StoreU(v[j], d, columns + (i + j) * kQueryBlock + r);
    }
  }
#endif
  for (; i < n; ++i) {
    for (int64_t r = 0; r < kQueryBlock; ++r) columns[i * kQueryBlock + r] = scale * rows[r][i];
  }
}

/// rows[r][i] = columns[i][r] / divisors[r], i < n, r < num_rows, a multiple of four.
void ColumnsToRows(const float* columns, int64_t n, const float* divisors, int64_t num_rows,
                   float* const* rows) {
  int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  const FourTag d;
  for (; i + 4 <= n; i += 4) {
    for (int64_t r = 0; r < num_rows; r += 4) {
      const auto divisor = hn::LoadU(d, divisors + r);
      Four v[4];
      for (int64_t j = 0; j < 4; ++j) {
        v[j] = hn::Div(hn::LoadU(d, columns + (i + j) * kQueryBlock + r), divisor);
      }
      Transpose(v[0], v[1], v[2], v[3]);
      for (int64_t j = 0; j < 4; ++j) hn::StoreU(v[j], d, rows[r + j] + i);
    }
  }
#endif
  for (; i < n; ++i) {
    for (int64_t r = 0; r < num_rows; ++r) {
      rows[r][i] = columns[i * kQueryBlock + r] / divisors[r];
    }
  }
}

/// A block of query rows and its running softmax. All arrays of scratch, rows of kQueryBlock
/// floats. On AMX the queries stand row by row, and packed after them the queries and the weights
/// of one tile of keys; else what follows is one tile of keys and values, widened.
struct QueryBlock {
  float* queries;  // [head_dim], scaled; AMX: [kQueryBlock][head_dim]
  float* output;   // [head_dim]
  float* scores;   // [kKeyTile]
  float* begin;    // first position each row sees
  float* end;      // ... and the one after its last
  float* largest;  // running maximum
  float* total;    // running sum of exponentials
  float* extra;
  int64_t num_vecs;
  int64_t head_dim;

  QueryBlock(float* scratch, int64_t head_dim)
      : queries(scratch),
        output(queries + head_dim * kQueryBlock),
        scores(output + head_dim * kQueryBlock),
        begin(scores + kKeyTile * kQueryBlock),
        end(begin + kQueryBlock),
        largest(end + kQueryBlock),
        total(largest + kQueryBlock),
        extra(total + kQueryBlock),
        num_vecs(0),
        head_dim(head_dim) {}
};

int64_t PrefillScratch(int64_t head_dim) {
  return (2 * head_dim + kKeyTile + 4) * kQueryBlock + 2 * kKeyTile * head_dim +
         kKeyTile * kQueryBlock;
}

/// One tile's scores become exp(score - running maximum); earlier sums are rescaled to it. A row
/// whose window starts in a later tile gathers weights of 1 until then: its first score that
/// counts rescales them to 0.
void SoftmaxTile(const QueryBlock& block, int64_t first_key, int64_t num_keys, bool all_visible) {
  const F32Tag d;
  for (int64_t v = 0; v < block.num_vecs; ++v) {
    float* column = block.scores + v * kLanes;
    const auto old = hn::Load(d, block.largest + v * kLanes);
    // Positions within the tile are small numbers, exact in float32.
    const auto tile = hn::Set(d, static_cast<float>(first_key));
    const auto begin = hn::Sub(hn::Load(d, block.begin + v * kLanes), tile);
    const auto end = hn::Sub(hn::Load(d, block.end + v * kLanes), tile);
    auto top = old;
    for (int64_t key = 0; key < num_keys; ++key) {
      auto score = hn::Load(d, column + key * kQueryBlock);
      if (!all_visible) {
        const auto position = hn::Set(d, static_cast<float>(key));
        const auto seen = hn::And(hn::Gt(end, position), hn::Le(begin, position));
        score = hn::IfThenElse(seen, score, hn::Set(d, kNoScore));
        hn::Store(score, d, column + key * kQueryBlock);
      }
      top = hn::Max(top, score);
    }
    const auto rescale = ExpNonPositive(hn::Sub(old, top));
    auto sum = hn::Mul(hn::Load(d, block.total + v * kLanes), rescale);
    for (int64_t key = 0; key < num_keys; ++key) {
      float* at = column + key * kQueryBlock;
      const auto p = ExpNonPositive(hn::Sub(hn::Load(d, at), top));
      hn::Store(p, d, at);
      sum = hn::Add(sum, p);
    }
    hn::Store(top, d, block.largest + v * kLanes);
    hn::Store(sum, d, block.total + v * kLanes);
    if (hn::AllTrue(d, hn::Eq(rescale, hn::Set(d, 1.0f)))) continue;
    for (int64_t i = 0; i < block.head_dim; ++i) {
      float* at = block.output + i * kQueryBlock + v * kLanes;
      hn::Store(hn::Mul(hn::Load(d, at), rescale), d, at);
    }
  }
}

/// Scores and weighted values of one tile of keys, by the vector kernels.
struct VectorProducts {
  const AttentionCall& call;
  const QueryBlock& block;
  int64_t kv_head;

  VectorProducts(const AttentionCall& call, const PrefillBlock& item, const QueryBlock& block,
                 const Bf16Kv*)
      : call(call), block(block), kv_head(item.kv_head) {}
  void SetQueries(const float* const* rows) const {
    RowsToColumns(rows, block.head_dim, call.options.scale, block.queries);
  }
  void Scores(int64_t key, int64_t count) const {
    const float* keys = KvRows(call.kv, call.kv.keys, kv_head, key, count, block.extra);
    SmallGemm<false>(count, block.num_vecs, keys, block.head_dim, 1, block.head_dim, block.queries,
                     block.scores);
  }
  void AddValues(int64_t key, int64_t count) const {
    const float* values = KvRows(call.kv, call.kv.values, kv_head, key, count, block.extra);
    SmallGemm<true>(block.head_dim, block.num_vecs, values, 1, block.head_dim, count, block.scores,
                    block.output);
  }
};

/// The same by AMX, on packed keys and values.
struct Bf16Products {
  const AttentionCall& call;
  const QueryBlock& block;
  const Bf16Kv& kv;
  int64_t kv_head;
  Bf16Activations queries, weights;

  Bf16Products(const AttentionCall& call, const PrefillBlock& item, const QueryBlock& block,
               const Bf16Kv* kv)
      : call(call), block(block), kv(*kv), kv_head(item.kv_head) {
    queries.data = reinterpret_cast<uint16_t*>(block.extra);
    queries.m_tiles = weights.m_tiles = kQueryBlock / 16;
    queries.k_tiles = block.head_dim / 32;
    weights.data = reinterpret_cast<uint16_t*>(block.extra + kQueryBlock * block.head_dim);
    weights.k_tiles = kKeyTile / 32;
  }
  void SetQueries(const float* const* rows_of_block) const {
    for (int64_t r = 0; r < kQueryBlock; ++r) {
      float* row = block.queries + r * block.head_dim;
      for (int64_t i = 0; i < block.head_dim; ++i)
        row[i] = call.options.scale * rows_of_block[r][i];
    }
    const ConstRows rows(block.queries, kQueryBlock, block.head_dim);
    for (int64_t tile = 0; tile < queries.m_tiles; ++tile) {
      Bf16PackActivations(rows.Slice(tile * 16, 16), tile, queries);
    }
  }
  void Scores(int64_t key, int64_t) const {
    Bf16Multiply(kv.Keys(kv_head, key), queries, 0, false, block.scores, kQueryBlock);
  }
  void AddValues(int64_t key, int64_t count) const {
    const ConstRows rows(block.scores, count, kQueryBlock);
    for (int64_t tile = 0; tile < weights.k_tiles; ++tile) {
      const int64_t first = HWY_MIN(tile * 32, count);
      Bf16PackTransposedActivations(rows.Slice(first, HWY_MIN(count - first, int64_t{32})), tile,
                                    weights);
    }
    Bf16Multiply(kv.Values(kv_head, key), weights, 0, true, block.output, kQueryBlock);
  }
};

/// Query rows of one key/value head, where row r is position r / heads of heads
/// first_head + r % heads.
template <class Products>
void RunPrefillBlock(const AttentionCall& call, const PrefillBlock& item, const Bf16Kv* amx,
                     float* scratch) {
  const int64_t head_dim = call.kv.head_dim;
  QueryBlock block(scratch, head_dim);
  const int64_t num_rows = item.num_positions * item.num_heads;
  block.num_vecs = (num_rows + kLanes - 1) / kLanes;
  std::memset(scratch, 0, (block.extra - scratch) * sizeof(float));
  const Products products(call, item, block, amx);
  const float* query_rows[kQueryBlock];
  float* out_rows[kQueryBlock];
  for (int64_t r = 0; r < kQueryBlock; ++r) {
    const int64_t row = HWY_MIN(r, num_rows - 1);  // unused lanes repeat the last row
    const int64_t position = item.first_position + row / item.num_heads;
    const int64_t head = item.first_head + row % item.num_heads;
    query_rows[r] = call.Query(position, head);
    out_rows[r] = call.Out(position, head);
    block.begin[r] = static_cast<float>(call.FirstVisible(position));
    block.end[r] = static_cast<float>(call.EndVisible(position));
    block.largest[r] = kNoScore;
  }
  products.SetQueries(query_rows);

  // Positions that some row of the block sees, and those that all of them see.
  const int64_t last = item.first_position + item.num_positions - 1;
  const int64_t any_begin = call.FirstVisible(item.first_position), any_end = call.EndVisible(last);
  const int64_t all_begin = call.FirstVisible(last), all_end = call.EndVisible(item.first_position);
  for (int64_t key = any_begin / kKeyTile * kKeyTile; key < any_end; key += kKeyTile) {
    const int64_t count = HWY_MIN(kKeyTile, any_end - key);
    products.Scores(key, count);
    if (call.options.softcap > 0.0f) {
      SoftCapRow(block.scores, count * kQueryBlock, call.options.softcap);
    }
    SoftmaxTile(block, key, count, key >= all_begin && key + count <= all_end);
    products.AddValues(key, count);
  }

  ColumnsToRows(block.output, head_dim, block.total, block.num_vecs * kLanes, out_rows);
}

/// amx: null for the vector kernels.
void PrefillBlockKernel(const AttentionCall& call, const PrefillBlock& item, const Bf16Kv* amx,
                        float* scratch) {
  if (amx == nullptr) {
    RunPrefillBlock<VectorProducts>(call, item, amx, scratch);
  } else {
    RunPrefillBlock<Bf16Products>(call, item, amx, scratch);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace unswift
HWY_AFTER_NAMESPACE();
