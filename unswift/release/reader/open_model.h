// Opens what the program calls MODEL: a Hugging Face checkpoint, or a release of one.
#pragma once

#include <filesystem>
#include <optional>

#include "unswift/base/result.h"
#include "unswift/base/thread_pool.h"
#include "unswift/model/model.h"
#include "unswift/release/reader/manifest.h"

namespace unswift {

struct OpenedModel {
  Model model;
  std::optional<Manifest> manifest;  ///< of a release
  ConversionLoss loss;               ///< of OpenModelOptions::weights
};

struct OpenModelOptions {
  /// Compare every file of a release with its manifest before any tensor is used.
  bool check_digests = true;
  /// Convert the weights (Model::ConvertWeights) after opening; empty: as stored.
  std::optional<DType> weights;
};

/// Errors: kNotFound (no such directory, no config.json, ...), kInvalidData, kUnsupported.
Result<OpenedModel> OpenModel(const std::filesystem::path& directory,
                              const OpenModelOptions& options, ThreadPool& pool);

}  // namespace unswift
