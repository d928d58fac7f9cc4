// The tensors of one protected MLP.
#pragma once

#include <string>
#include <vector>

#include "unswift/base/result.h"
#include "unswift/io/safetensors.h"
#include "unswift/release/maker/plan.h"
#include "unswift/series/carry.h"

namespace unswift {

/// One protected layer ready to be written: its fit, the sign of each unit, and the order of the
/// intermediate coordinates in the release (protected units as selected, then the plain ones).
class ProtectedMlp {
 public:
  /// prefix: "model.layers.3.". signs: +1 / -1 per selected unit, already applied to fit and carry.
  ProtectedMlp(const Architecture& architecture, std::string prefix, MlpSource source,
               const UnitSelection& selection, SeriesFit fit, const SeriesCarry* carry,
               std::vector<int8_t> signs, DType theta_dtype);

  int64_t num_features() const { return theta_.num_features(); }
  /// What is written, in this order.
  std::vector<TensorSpec> Specs() const;
  /// The bytes of every tensor of Specs(), in their order; they need this object. Errors of making
  /// them: kInvalidData (an entry of theta that its type cannot hold).
  std::vector<DataPiece> Pieces() const;
  /// Names of the original's tensors that these replace.
  std::vector<std::string> ReplacedTensors() const;

 private:
  std::string Name(std::string_view part, std::string_view suffix) const;
  bool gated() const { return architecture_.mlp == MlpKind::kGated; }
  /// Gate and up in one matrix, gate's rows first.
  bool fused() const { return !architecture_.names.gate_up_proj.empty(); }
  int64_t plain_units() const { return source_.intermediate_size - num_protected_; }
  bool has_series_bias() const { return !gated() || !source_.weights.down_proj.bias.empty(); }
  void AddInput(const MatrixView& matrix, bool signed_rows, std::vector<DataPiece>& pieces) const;
  void AddBias(const std::vector<float>& bias, bool is_z, std::vector<DataPiece>& pieces) const;
  void AddTheta(std::vector<DataPiece>& pieces) const;
  void AddPlainDown(std::vector<DataPiece>& pieces) const;
  Result<> MakeThetaRows(int64_t begin, int64_t count, std::span<std::byte> out) const;
  DataPiece SeriesBiasPiece() const;
  std::vector<float> SeriesBias() const;

  const Architecture& architecture_;
  std::string prefix_;
  MlpSource source_;
  SeriesFit fit_;
  std::vector<int8_t> signs_;   // [num_protected]
  std::vector<int64_t> units_;  // [intermediate_size], release coordinate -> original unit
  int64_t num_protected_ = 0;
  DType theta_dtype_;
  ThetaMaker theta_;
};

}  // namespace unswift
