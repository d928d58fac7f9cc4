// Checkpoints of tests, opened and ready to run, and how far they are from the textbook.
#pragma once

#include "tests/testing/test_data.h"
#include "tests/testing/tiny_model.h"
#include "unswift/model/decoder.h"

namespace unswift {

struct TinyRun {
  explicit TinyRun(TinyModel made, int threads = 2) : tiny(std::move(made)), pool(threads) {
    WriteTinyModel(tiny, directory.path());
    model = std::make_unique<Model>(Model::Bind(ReadModelConfig(directory.path()).value(),
                                                Checkpoint::Open(directory.path()).value())
                                        .value());
    decoder = std::make_unique<Decoder>(*model, pool);
  }

  TempDir directory;
  TinyModel tiny;
  ThreadPool pool;
  std::unique_ptr<Model> model;
  std::unique_ptr<Decoder> decoder;
};

/// A plain checkpoint; a failure of the test when it cannot be opened.
Model OpenPlainModel(const std::filesystem::path& directory);

/// 30 ids of the model's vocabulary, others for another start.
std::vector<int32_t> TinyText(const TinyModel& tiny, int start);

/// Largest difference between the model's logits of `ids` and ReferenceLogits of `tiny`.
double LargestLogitError(const Model& model, const TinyModel& tiny, const std::vector<int32_t>& ids,
                         ThreadPool& pool);

}  // namespace unswift
