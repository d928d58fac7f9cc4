// Calibration statistics as a safetensors file.
#pragma once

#include <filesystem>
#include <vector>

#include "unswift/base/result.h"
#include "unswift/series/statistics.h"

namespace unswift {

/// Statistics of all layers of a model.
struct ModelStatistics {
  std::vector<LayerStatistics> layers;
  int64_t num_tokens = 0;
};

/// Tensors, L = layers, h = intermediate_size: "min", "max" F32 [L, h]; "mean", "std", "mean_u2",
/// "bin_begin", "bin_end" F64 [L, h]; "histogram" F32 [L, h, 256]; metadata "format", "tokens".
/// Written aside and renamed. Errors: kAlreadyExists (without replace), kIo.
Result<> WriteStatistics(const ModelStatistics& statistics, const std::filesystem::path& path,
                         bool replace);

/// Errors: kNotFound, kInvalidData (not such a file, wrong shapes, NaN, negative counts) naming the
/// file and the layer and unit.
Result<ModelStatistics> ReadStatistics(const std::filesystem::path& path);

}  // namespace unswift
