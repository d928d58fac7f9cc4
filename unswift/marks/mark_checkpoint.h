// Puts a recipient's marks into a copy of a checkpoint: what a release is then made of.
#pragma once

#include <filesystem>

#include "unswift/base/progress.h"
#include "unswift/base/thread_pool.h"
#include "unswift/marks/registry.h"
#include "unswift/model/model.h"

namespace unswift {

/// Copies the checkpoint in `source` (bound as `original`, Conv1dWeights::kKeep, float weights) to
/// the existing empty directory `target`, every marked weight moved by one step (StepWeight) up or
/// down, as the recipient's codeword has it. Returns how many. Does not depend on the thread count.
/// Cost: the checkpoint's size on disk; private memory: the largest marked tensor.
/// Errors: kIo; kInvalidArgument when there is no such recipient.
Result<int64_t> MarkCheckpoint(const std::filesystem::path& source, const Model& original,
                               const Registry& registry, size_t recipient,
                               const std::filesystem::path& target, ThreadPool& pool,
                               const ProgressFn& progress);

}  // namespace unswift
