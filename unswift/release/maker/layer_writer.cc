#include "unswift/release/maker/layer_writer.h"

#include <algorithm>
#include <cstring>

namespace unswift {
namespace {

// Rows of theta that are made at once: enough to keep all threads busy, few enough that a block of
// the widest layers stays in tens of megabytes.
constexpr int64_t kThetaBlockRows = 32;

std::vector<int64_t> ReleaseOrder(const std::vector<int64_t>& selected, int64_t intermediate_size) {
  std::vector<bool> is_selected(intermediate_size, false);
  for (int64_t unit : selected) is_selected[unit] = true;
  std::vector<int64_t> units = selected;
  for (int64_t unit = 0; unit < intermediate_size; ++unit) {
    if (!is_selected[unit]) units.push_back(unit);
  }
  return units;
}

/// Negates stored f32, f16 or bf16 values: the sign is the top bit of the last byte of each.
void NegateStored(std::span<std::byte> values, int64_t element) {
  for (size_t i = element - 1; i < values.size(); i += element) values[i] ^= std::byte{0x80};
}

template <typename T>
std::span<const std::byte> BytesOf(const std::vector<T>& values) {
  return std::as_bytes(std::span<const T>(values));
}

}  // namespace

ProtectedMlp::ProtectedMlp(const Architecture& architecture, std::string prefix, MlpSource source,
                           const UnitSelection& selection, SeriesFit fit, const SeriesCarry* carry,
                           std::vector<int8_t> signs, DType theta_dtype)
    : architecture_(architecture),
      prefix_(std::move(prefix)),
      source_(std::move(source)),
      fit_(std::move(fit)),
      signs_(std::move(signs)),
      units_(ReleaseOrder(selection.units, source_.intermediate_size)),
      num_protected_(static_cast<int64_t>(selection.units.size())),
      theta_dtype_(theta_dtype),
      theta_(fit_, carry, theta_dtype, architecture.mlp == MlpKind::kPlain ? 1 : 0) {}

std::string ProtectedMlp::Name(std::string_view part, std::string_view suffix) const {
  return prefix_ + std::string(part) + std::string(suffix);
}

std::vector<TensorSpec> ProtectedMlp::Specs() const {
  const WeightNames& names = architecture_.names;
  const int64_t hidden = source_.hidden_size, inner = source_.intermediate_size;
  const auto shape = [&](int64_t out, int64_t in) {
    return source_.conv1d ? Shape{in, out} : Shape{out, in};
  };
  std::vector<TensorSpec> specs;
  const auto add_input = [&](std::string_view name, const LinearWeights& linear, int64_t units) {
    specs.push_back({Name(name, ".weight"), linear.weight.dtype, shape(units, hidden)});
    if (!linear.bias.empty()) specs.push_back({Name(name, ".bias"), DType::kF32, {units}});
  };
  if (fused()) {
    add_input(names.gate_up_proj, source_.weights.up_proj, 2 * inner);
  } else {
    if (gated()) add_input(names.gate_proj, source_.weights.gate_proj, inner);
    add_input(names.up_proj, source_.weights.up_proj, inner);
  }
  specs.push_back({Name(names.series, ".centre"), DType::kF32, {num_protected_}});
  specs.push_back({Name(names.series, ".inv_radius"), DType::kF32, {num_protected_}});
  if (has_series_bias()) specs.push_back({Name(names.series, ".bias"), DType::kF32, {hidden}});
  specs.push_back({Name(names.series, ".theta"), theta_dtype_, {hidden, num_features()}});
  if (plain_units() > 0) {
    specs.push_back({Name(names.down_proj, ".weight"), source_.weights.down_proj.weight.dtype,
                     shape(hidden, plain_units())});
  }
  // Last, because its odd length would misalign what follows.
  specs.push_back({Name(names.series, ".orders"), DType::kU8, {num_protected_}});
  return specs;
}

std::vector<std::string> ProtectedMlp::ReplacedTensors() const {
  const WeightNames& names = architecture_.names;
  std::vector<std::string> replaced;
  for (std::string_view part :
       {names.gate_up_proj, names.gate_proj, names.up_proj, names.down_proj}) {
    if (part.empty()) continue;
    replaced.push_back(Name(part, ".weight"));
    replaced.push_back(Name(part, ".bias"));
  }
  return replaced;
}

Result<> ProtectedMlp::Write(SafetensorsWriter& writer, ThreadPool& pool) const {
  const MlpWeights& weights = source_.weights;
  if (gated()) {
    UNSWIFT_RETURN_IF_ERROR(WriteInput(writer, weights.gate_proj.weight, /*signed_rows=*/true));
    if (!fused()) UNSWIFT_RETURN_IF_ERROR(WriteBias(writer, weights.gate_proj.bias, /*is_z=*/true));
  }
  UNSWIFT_RETURN_IF_ERROR(WriteInput(writer, weights.up_proj.weight, /*signed_rows=*/!gated()));
  // One matrix for gate and up: its rows follow each other, then its bias does.
  if (fused()) UNSWIFT_RETURN_IF_ERROR(WriteBias(writer, weights.gate_proj.bias, /*is_z=*/true));
  UNSWIFT_RETURN_IF_ERROR(WriteBias(writer, weights.up_proj.bias, /*is_z=*/!gated()));
  UNSWIFT_RETURN_IF_ERROR(writer.Append(BytesOf(fit_.centre)));
  UNSWIFT_RETURN_IF_ERROR(writer.Append(BytesOf(fit_.inv_radius)));
  if (has_series_bias()) UNSWIFT_RETURN_IF_ERROR(writer.Append(BytesOf(SeriesBias())));
  UNSWIFT_RETURN_IF_ERROR(WriteTheta(writer, pool));
  if (plain_units() > 0) UNSWIFT_RETURN_IF_ERROR(WritePlainDown(writer));
  return writer.Append(BytesOf(std::vector<uint8_t>(fit_.orders.begin(), fit_.orders.end())));
}

Result<> ProtectedMlp::WriteInput(SafetensorsWriter& writer, const MatrixView& matrix,
                                  bool signed_rows) const {
  const int64_t element = BlockBytes(matrix.dtype);
  const auto flips = [&](int64_t i) { return signed_rows && i < num_protected_ && signs_[i] < 0; };
  std::vector<std::byte> row(matrix.row_bytes);
  if (!source_.conv1d) {
    for (size_t i = 0; i < units_.size(); ++i) {
      std::memcpy(row.data(), matrix.row(units_[i]), row.size());
      if (flips(i)) NegateStored(row, element);
      UNSWIFT_RETURN_IF_ERROR(writer.Append(row));
    }
    return {};
  }
  for (int64_t r = 0; r < matrix.rows; ++r) {
    for (size_t i = 0; i < units_.size(); ++i) {
      const std::span<std::byte> value(row.data() + i * element, element);
      std::memcpy(value.data(), matrix.row(r) + units_[i] * element, element);
      if (flips(i)) NegateStored(value, element);
    }
    UNSWIFT_RETURN_IF_ERROR(writer.Append(row));
  }
  return {};
}

Result<> ProtectedMlp::WriteBias(SafetensorsWriter& writer, const std::vector<float>& bias,
                                 bool is_z) const {
  if (bias.empty()) return {};
  std::vector<float> values;
  for (size_t i = 0; i < units_.size(); ++i) {
    // The bias of a protected pre-activation is inside the coefficients; z has none.
    const bool inside = is_z && static_cast<int64_t>(i) < num_protected_;
    values.push_back(inside ? 0.0f : bias[units_[i]]);
  }
  return writer.Append(BytesOf(values));
}

std::vector<float> ProtectedMlp::SeriesBias() const {
  std::vector<float> bias(source_.hidden_size, 0.0f);
  std::vector<float> row(source_.intermediate_size), down(num_protected_);
  const std::vector<float>& output = source_.weights.down_proj.bias;
  for (int64_t i = 0; i < source_.hidden_size; ++i) {
    double sum = output.empty() ? 0.0 : output[i];
    if (!gated()) {
      source_.DownRow(i, row);
      for (int64_t j = 0; j < num_protected_; ++j) down[j] = row[units_[j]];
      sum += theta_.ConstantTerm(down);
    }
    bias[i] = static_cast<float>(sum);
  }
  return bias;
}

Result<> ProtectedMlp::WriteTheta(SafetensorsWriter& writer, ThreadPool& pool) const {
  const int64_t row_bytes = num_features() / BlockElements(theta_dtype_) * BlockBytes(theta_dtype_);
  const int64_t block_rows = kThetaBlockRows * pool.num_threads();
  std::vector<std::byte> block(block_rows * row_bytes);
  std::vector<float> down(block_rows * num_protected_);
  for (int64_t begin = 0; begin < source_.hidden_size; begin += block_rows) {
    const int64_t count = std::min(block_rows, source_.hidden_size - begin);
    const int64_t groups = (count + kPackedRows - 1) / kPackedRows;
    std::vector<Result<>> status(pool.num_threads());
    pool.RunOnAll([&](int thread) {
      const int64_t first = groups * thread / pool.num_threads() * kPackedRows;
      const int64_t last =
          std::min(count, groups * (thread + 1) / pool.num_threads() * kPackedRows);
      if (first >= last) return;
      std::vector<float> row(source_.intermediate_size);
      for (int64_t r = first; r < last; ++r) {
        source_.DownRow(begin + r, row);
        float* gathered = down.data() + r * num_protected_;
        for (int64_t j = 0; j < num_protected_; ++j) gathered[j] = row[units_[j]];
      }
      const ConstRows rows(down.data() + first * num_protected_, last - first, num_protected_);
      status[thread] = theta_.MakeRows(rows, block.data() + first * row_bytes, row_bytes);
    });
    for (const Result<>& part : status) UNSWIFT_RETURN_IF_ERROR(part);
    const int64_t stored_rows = IsQuantized(theta_dtype_) ? groups * kPackedRows : count;
    UNSWIFT_RETURN_IF_ERROR(writer.Append(std::span(block).first(stored_rows * row_bytes)));
  }
  return {};
}

Result<> ProtectedMlp::WritePlainDown(SafetensorsWriter& writer) const {
  const MatrixView& down = source_.weights.down_proj.weight;
  const int64_t element = BlockBytes(down.dtype);
  if (source_.conv1d) {
    for (size_t i = num_protected_; i < units_.size(); ++i) {
      UNSWIFT_RETURN_IF_ERROR(
          writer.Append({down.row(units_[i]), static_cast<size_t>(down.row_bytes)}));
    }
    return {};
  }
  std::vector<std::byte> row(plain_units() * element);
  for (int64_t r = 0; r < down.rows; ++r) {
    for (int64_t i = 0; i < plain_units(); ++i) {
      std::memcpy(row.data() + i * element, down.row(r) + units_[num_protected_ + i] * element,
                  element);
    }
    UNSWIFT_RETURN_IF_ERROR(writer.Append(row));
  }
  return {};
}

}  // namespace unswift
