// Makes a release of a checkpoint.
#pragma once

#include <filesystem>

#include "unswift/base/progress.h"
#include "unswift/base/result.h"
#include "unswift/release/maker/plan.h"

namespace unswift {

struct ProtectReport {
  int64_t bytes = 0;           ///< of the release's files
  int64_t original_bytes = 0;  ///< of the original's tensors
  double mean_order = 0.0;
  int64_t protected_units = 0;
  double predicted_slowdown = 0.0;
};

/// Errors before any long work: kNotFound (no tokenizer.json, ...), kAlreadyExists.
Result<> CheckProtectTarget(const std::filesystem::path& source,
                            const std::filesystem::path& target, bool replace);

/// Opens a checkpoint for the maker: weights as stored, nothing copied. Errors: kInvalidArgument
/// when it is a release itself; kInvalidData for NaN or infinity in a weight, naming it; as
/// Model::Bind. Cost: reads every weight once.
Result<Model> OpenOriginal(const std::filesystem::path& source, ThreadPool& pool);

/// Reads the original in `source` layer by layer and writes the release to `target`, which appears
/// complete or not at all. Private memory: about one layer, plus the error table of all candidate
/// units (33 doubles each) when the allocation is adaptive.
/// Errors: as MakePlan; kIo.
Result<ProtectReport> Protect(const std::filesystem::path& source, const Model& original,
                              const ModelStatistics& statistics, const ProtectOptions& options,
                              const std::filesystem::path& target, ThreadPool& pool,
                              const ProgressFn& progress);

}  // namespace unswift
