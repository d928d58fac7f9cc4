// A tiny model, opened and ready to run.
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

}  // namespace unswift
