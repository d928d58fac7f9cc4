#include "unswift/marks/mark_checkpoint.h"

#include <algorithm>
#include <atomic>

#include "unswift/base/atomic_directory.h"
#include "unswift/base/mapped_file.h"
#include "unswift/marks/mark_code.h"
#include "unswift/marks/mark_positions.h"

namespace unswift {
namespace {

namespace fs = std::filesystem;

/// A matrix and where its elements start inside a tensor.
struct PlacedMatrix {
  int64_t layer = 0;
  MarkedMatrix matrix = MarkedMatrix::kGate;
  MatrixView view;
};

/// Every marked matrix by the address of its first element: a tensor may hold several (gate and
/// up).
std::vector<PlacedMatrix> PlacedMatrices(const Model& original) {
  std::vector<PlacedMatrix> placed;
  for (size_t layer = 0; layer < original.layers().size(); ++layer) {
    for (const MarkedMatrix matrix : kMarkedMatrices) {
      const MatrixView& view = MatrixOf(original.layers()[layer], matrix);
      if (view.rows > 0) placed.push_back({static_cast<int64_t>(layer), matrix, view});
    }
  }
  return placed;
}

class Marker {
 public:
  Marker(const Model& original, const Registry& registry, size_t recipient, ThreadPool& pool)
      : placed_(PlacedMatrices(original)),
        key_(registry.key()),
        codeword_(Codeword(registry.recipient_key(recipient), SymbolBiases(key_))),
        transposed_(original.config().architecture->conv1d),
        pool_(pool) {}

  /// Appends one tensor, its marks made.
  Result<> Append(const TensorView& tensor, SafetensorsWriter& writer) {
    const std::span<const std::byte> stored(tensor.data, static_cast<size_t>(tensor.num_bytes));
    std::vector<std::byte> marked;
    for (const PlacedMatrix& matrix : placed_) {
      if (matrix.view.data < stored.data() || matrix.view.data >= stored.data() + stored.size()) {
        continue;
      }
      if (marked.empty()) marked.assign(stored.begin(), stored.end());
      UNSWIFT_RETURN_IF_ERROR(
          MarkMatrix(matrix, marked.data() + (matrix.view.data - stored.data())));
    }
    return writer.Append(marked.empty() ? stored : std::span<const std::byte>(marked));
  }

  int64_t num_marks() const { return num_marks_; }

 private:
  Result<> MarkMatrix(const PlacedMatrix& matrix, std::byte* data) {
    const MatrixView& view = matrix.view;
    UNSWIFT_ASSIGN_OR_RETURN(const MarkPositions positions,
                             MarkPositions::Create(key_, matrix.layer, matrix.matrix));
    const int64_t element = BlockBytes(view.dtype);
    const int64_t rows = transposed_ ? view.cols : view.rows;
    const int64_t columns = transposed_ ? view.rows : view.cols;
    const int64_t row_step = transposed_ ? element : view.row_bytes;
    const int64_t column_step = transposed_ ? view.row_bytes : element;
    pool_.ParallelFor(rows, 16, [&](int64_t begin, int64_t end) {
      int64_t made = 0;
      for (int64_t row = begin; row < end; ++row) {
        for (const Mark& mark : positions.Row(row, columns)) {
          std::byte* weight = data + row * row_step + mark.column * column_step;
          made += StepWeight(view.dtype, weight, mark.direction * codeword_[mark.symbol]) ? 1 : 0;
        }
      }
      num_marks_ += made;
    });
    return {};
  }

  const std::vector<PlacedMatrix> placed_;
  const MarkKey key_;
  const std::vector<int8_t> codeword_;
  const bool transposed_;
  ThreadPool& pool_;
  std::atomic<int64_t> num_marks_{0};
};

Result<> CopyOtherFiles(const fs::path& source, const fs::path& target) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(source, error)) {
    if (!entry.is_regular_file() || entry.path().extension() == ".safetensors") continue;
    UNSWIFT_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(entry.path()));
    UNSWIFT_RETURN_IF_ERROR(WriteFile(target / entry.path().filename(), bytes));
  }
  if (!error) return {};
  return MakeError(ErrorCode::kIo, "[mark] {}: {}", source.string(), error.message());
}

}  // namespace

Result<int64_t> MarkCheckpoint(const fs::path& source, const Model& original,
                               const Registry& registry, size_t recipient, const fs::path& target,
                               ThreadPool& pool, const ProgressFn& progress) {
  if (recipient >= registry.size()) {
    return MakeError(ErrorCode::kInvalidArgument, "[mark] expected one of {} recipients, got {}",
                     registry.size(), recipient);
  }
  Marker marker(original, registry, recipient, pool);
  const Checkpoint& checkpoint = original.checkpoint();
  size_t done = 0;
  for (const SafetensorsFile& file : checkpoint.files()) {
    std::vector<TensorSpec> specs;
    for (const auto& [name, view] : file.tensors()) specs.push_back({name, view.dtype, view.shape});
    UNSWIFT_ASSIGN_OR_RETURN(
        SafetensorsWriter writer,
        SafetensorsWriter::Create(target / file.path().filename(), specs, file.metadata()));
    for (const auto& [name, view] : file.tensors()) {
      UNSWIFT_RETURN_IF_ERROR(marker.Append(view, writer));
      checkpoint.Release(name);
      Report(progress, "mark", static_cast<double>(++done) / checkpoint.tensors().size());
    }
    UNSWIFT_RETURN_IF_ERROR(writer.Finish());
  }
  UNSWIFT_RETURN_IF_ERROR(CopyOtherFiles(source, target));
  return marker.num_marks();
}

}  // namespace unswift
