#include "unswift/release/maker/layer_writer.h"

#include <algorithm>
#include <cstring>

namespace unswift {
namespace {

// Rows of theta that a thread makes at once: the coefficients' tables are read once for all of
// them.
constexpr int64_t kThetaBlockRows = 32;
// Rows of other matrices that are gathered at once.
constexpr int64_t kGatherRows = 256;

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

/// A piece that keeps its values until it is written.
template <typename T>
DataPiece PieceOf(std::vector<T> values) {
  const auto num_bytes = static_cast<int64_t>(values.size() * sizeof(T));
  return {.num_bytes = num_bytes,
          .make = [values = std::move(values)](std::span<std::byte> out) -> Result<> {
            std::ranges::copy(std::as_bytes(std::span<const T>(values)), out.begin());
            return {};
          }};
}

/// Pieces of `rows` rows, each made by fill(row, bytes of the row).
template <typename Fill>
void AddRowPieces(int64_t rows, int64_t row_bytes, const Fill& fill,
                  std::vector<DataPiece>& pieces) {
  for (int64_t begin = 0; begin < rows; begin += kGatherRows) {
    const int64_t count = std::min(kGatherRows, rows - begin);
    pieces.push_back(
        {.num_bytes = count * row_bytes, .make = [=](std::span<std::byte> out) -> Result<> {
           for (int64_t r = 0; r < count; ++r) {
             fill(begin + r, out.subspan(r * row_bytes, row_bytes));
           }
           return {};
         }});
  }
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

std::vector<DataPiece> ProtectedMlp::Pieces() const {
  const MlpWeights& weights = source_.weights;
  std::vector<DataPiece> pieces;
  if (gated()) {
    AddInput(weights.gate_proj.weight, /*signed_rows=*/true, pieces);
    if (!fused()) AddBias(weights.gate_proj.bias, /*is_z=*/true, pieces);
  }
  AddInput(weights.up_proj.weight, /*signed_rows=*/!gated(), pieces);
  // One matrix for gate and up: its rows follow each other, then its bias does.
  if (fused()) AddBias(weights.gate_proj.bias, /*is_z=*/true, pieces);
  AddBias(weights.up_proj.bias, /*is_z=*/!gated(), pieces);
  pieces.push_back(PieceOf(fit_.centre));
  pieces.push_back(PieceOf(fit_.inv_radius));
  if (has_series_bias()) pieces.push_back(SeriesBiasPiece());
  AddTheta(pieces);
  if (plain_units() > 0) AddPlainDown(pieces);
  pieces.push_back(PieceOf(std::vector<uint8_t>(fit_.orders.begin(), fit_.orders.end())));
  return pieces;
}

void ProtectedMlp::AddInput(const MatrixView& matrix, bool signed_rows,
                            std::vector<DataPiece>& pieces) const {
  const int64_t element = BlockBytes(matrix.dtype);
  const auto flips = [this, signed_rows](int64_t i) {
    return signed_rows && i < num_protected_ && signs_[i] < 0;
  };
  if (!source_.conv1d) {
    const auto gather = [=, this](int64_t i, std::span<std::byte> row) {
      std::memcpy(row.data(), matrix.row(units_[i]), row.size());
      if (flips(i)) NegateStored(row, element);
    };
    AddRowPieces(static_cast<int64_t>(units_.size()), matrix.row_bytes, gather, pieces);
    return;
  }
  const auto permute = [=, this](int64_t r, std::span<std::byte> row) {
    for (size_t i = 0; i < units_.size(); ++i) {
      const std::span<std::byte> value = row.subspan(i * element, element);
      std::memcpy(value.data(), matrix.row(r) + units_[i] * element, element);
      if (flips(static_cast<int64_t>(i))) NegateStored(value, element);
    }
  };
  AddRowPieces(matrix.rows, matrix.row_bytes, permute, pieces);
}

void ProtectedMlp::AddBias(const std::vector<float>& bias, bool is_z,
                           std::vector<DataPiece>& pieces) const {
  if (bias.empty()) return;
  std::vector<float> values;
  for (size_t i = 0; i < units_.size(); ++i) {
    // The bias of a protected pre-activation is inside the coefficients; z has none.
    const bool inside = is_z && static_cast<int64_t>(i) < num_protected_;
    values.push_back(inside ? 0.0f : bias[units_[i]]);
  }
  pieces.push_back(PieceOf(std::move(values)));
}

DataPiece ProtectedMlp::SeriesBiasPiece() const {
  const auto num_bytes = source_.hidden_size * static_cast<int64_t>(sizeof(float));
  return {.num_bytes = num_bytes, .make = [this](std::span<std::byte> out) -> Result<> {
            const std::vector<float> bias = SeriesBias();
            std::ranges::copy(std::as_bytes(std::span<const float>(bias)), out.begin());
            return {};
          }};
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

void ProtectedMlp::AddTheta(std::vector<DataPiece>& pieces) const {
  const int64_t row_bytes = num_features() / BlockElements(theta_dtype_) * BlockBytes(theta_dtype_);
  for (int64_t begin = 0; begin < source_.hidden_size; begin += kThetaBlockRows) {
    const int64_t count = std::min(kThetaBlockRows, source_.hidden_size - begin);
    const int64_t stored_rows =
        IsQuantized(theta_dtype_) ? (count + kPackedRows - 1) / kPackedRows * kPackedRows : count;
    pieces.push_back(
        {.num_bytes = stored_rows * row_bytes,
         .make = [=, this](std::span<std::byte> out) { return MakeThetaRows(begin, count, out); }});
  }
}

Result<> ProtectedMlp::MakeThetaRows(int64_t begin, int64_t count, std::span<std::byte> out) const {
  std::vector<float> row(source_.intermediate_size), down(count * num_protected_);
  for (int64_t r = 0; r < count; ++r) {
    source_.DownRow(begin + r, row);
    float* const gathered = down.data() + r * num_protected_;
    for (int64_t j = 0; j < num_protected_; ++j) gathered[j] = row[units_[j]];
  }
  const int64_t row_bytes = num_features() / BlockElements(theta_dtype_) * BlockBytes(theta_dtype_);
  return theta_.MakeRows(ConstRows(down.data(), count, num_protected_), out.data(), row_bytes);
}

void ProtectedMlp::AddPlainDown(std::vector<DataPiece>& pieces) const {
  const MatrixView& down = source_.weights.down_proj.weight;
  const int64_t element = BlockBytes(down.dtype);
  if (source_.conv1d) {
    const auto copy = [=, this](int64_t i, std::span<std::byte> row) {
      std::memcpy(row.data(), down.row(units_[num_protected_ + i]), row.size());
    };
    AddRowPieces(plain_units(), down.row_bytes, copy, pieces);
    return;
  }
  const auto gather = [=, this](int64_t r, std::span<std::byte> row) {
    for (int64_t i = 0; i < plain_units(); ++i) {
      std::memcpy(row.data() + i * element, down.row(r) + units_[num_protected_ + i] * element,
                  element);
    }
  };
  AddRowPieces(down.rows, plain_units() * element, gather, pieces);
}

}  // namespace unswift
