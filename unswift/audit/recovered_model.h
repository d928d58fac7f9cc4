// Writes what was recovered as a plain checkpoint, layer by layer.
#pragma once

#include <filesystem>

#include "unswift/audit/layer_recovery.h"
#include "unswift/io/json.h"

namespace unswift {

/// A Hugging Face directory of the original's architecture: the release's other tensors and files,
/// with every series replaced by weights. Units keep the release's order (another order of the
/// intermediate coordinates is the same function).
class RecoveredModelWriter {
 public:
  /// `directory` exists and is empty (an AtomicDirectory's path, or a temporary one). The release's
  /// model must outlive the writer.
  RecoveredModelWriter(const Model& release, std::filesystem::path release_directory,
                       std::filesystem::path directory);

  /// Layers in ascending order, each once; null for a layer that is not protected.
  Result<> WriteLayer(int64_t layer, const RecoveredLayer* recovered);
  /// The tensors outside the layers, index, config.json and the tokenizer's files.
  Result<> Finish();

 private:
  struct Piece;
  Result<> WriteShard(int64_t shard, const std::vector<Piece>& pieces);
  std::vector<Piece> PiecesOf(int64_t layer, const RecoveredLayer& recovered) const;
  Piece Stored(const std::string& name) const;
  Result<> CopyFiles() const;

  const Model& release_;
  const std::filesystem::path release_directory_, directory_;
  int64_t num_shards_ = 0, total_bytes_ = 0;
  Json weight_map_ = Json::object();
};

/// The original's config.json from a release's.
Json OriginalConfig(const Json& release_config);

}  // namespace unswift
