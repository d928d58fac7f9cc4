// "full": every position is kept.
#include <algorithm>
#include <vector>

#include "unswift/base/check.h"
#include "unswift/kv/kv_cache.h"

namespace unswift {
namespace {

constexpr int64_t kFirstCapacity = 64;

class FullCache final : public KvCache {
 public:
  FullCache(const KvShape& shape, std::shared_ptr<const KvCodec> codec)
      : shape_(shape),
        codec_(std::move(codec)),
        row_bytes_(codec_->RowBytes(shape.head_dim)),
        layers_(shape.num_layers) {}

  int64_t length() const override { return length_; }

  void Append(int64_t layer, ConstRows keys, ConstRows values) override {
    Layer& stored = layers_[layer];
    UNSWIFT_CHECK(stored.count == length_ && keys.rows == values.rows);
    Reserve(stored, stored.count + keys.rows);
    for (int64_t r = 0; r < keys.rows; ++r) {
      for (int64_t head = 0; head < shape_.num_key_value_heads; ++head) {
        const int64_t column = head * shape_.head_dim;
        const int64_t slot = (head * stored.capacity + stored.count + r) * row_bytes_;
        codec_->Encode(keys.row(r).subspan(column, shape_.head_dim), stored.keys.data() + slot);
        codec_->Encode(values.row(r).subspan(column, shape_.head_dim), stored.values.data() + slot);
      }
    }
    stored.count += keys.rows;
  }

  KvView View(int64_t layer) override {
    const Layer& stored = layers_[layer];
    KvView view;
    view.num_key_value_heads = shape_.num_key_value_heads;
    view.head_dim = shape_.head_dim;
    view.kv_len = stored.count;
    view.head_stride = stored.capacity * shape_.head_dim;
    if (codec_->stored_dtype()) {
      view.dtype = *codec_->stored_dtype();
      view.keys = stored.keys.data();
      view.values = stored.values.data();
    } else {
      view.head_stride = stored.count * shape_.head_dim;
      view.keys = Decoded(stored, stored.keys, decoded_keys_);
      view.values = Decoded(stored, stored.values, decoded_values_);
    }
    return view;
  }

  void Advance(int64_t n) override { length_ += n; }

  void Clear() override {
    length_ = 0;
    for (Layer& layer : layers_) layer.count = 0;
  }

  int64_t num_bytes() const override {
    return 2 * length_ * row_bytes_ * shape_.num_key_value_heads * shape_.num_layers;
  }

 private:
  struct Layer {
    std::vector<std::byte> keys, values;  // [num_key_value_heads, capacity, row_bytes]
    int64_t capacity = 0;
    int64_t count = 0;
  };

  // Doubles, so that a long generation copies each row O(1) times.
  void Reserve(Layer& layer, int64_t count) {
    if (count <= layer.capacity) return;
    const int64_t capacity = std::max({count, 2 * layer.capacity, kFirstCapacity});
    for (std::vector<std::byte>* buffer : {&layer.keys, &layer.values}) {
      std::vector<std::byte> larger(capacity * shape_.num_key_value_heads * row_bytes_);
      for (int64_t head = 0; head < shape_.num_key_value_heads; ++head) {
        std::copy_n(buffer->begin() + head * layer.capacity * row_bytes_, layer.count * row_bytes_,
                    larger.begin() + head * capacity * row_bytes_);
      }
      buffer->swap(larger);
    }
    layer.capacity = capacity;
  }

  const float* Decoded(const Layer& layer, const std::vector<std::byte>& stored,
                       std::vector<float>& out) const {
    out.resize(shape_.num_key_value_heads * layer.count * shape_.head_dim);
    float* row = out.data();
    for (int64_t head = 0; head < shape_.num_key_value_heads; ++head) {
      for (int64_t p = 0; p < layer.count; ++p, row += shape_.head_dim) {
        codec_->Decode(stored.data() + (head * layer.capacity + p) * row_bytes_,
                       {row, static_cast<size_t>(shape_.head_dim)});
      }
    }
    return out.data();
  }

  KvShape shape_;
  std::shared_ptr<const KvCodec> codec_;
  int64_t row_bytes_;
  std::vector<Layer> layers_;
  int64_t length_ = 0;
  std::vector<float> decoded_keys_, decoded_values_;
};

}  // namespace

std::unique_ptr<KvCache> MakeFullCache(const KvShape& shape, std::shared_ptr<const KvCodec> codec) {
  return std::make_unique<FullCache>(shape, std::move(codec));
}

}  // namespace unswift
