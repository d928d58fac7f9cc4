// Finds marks in a plain model that may be a copy of a marked one: fine-tuned, noised, pruned,
// quantised, its units reordered and rescaled, or mixed from several copies. Needs the original.
#pragma once

#include <string>
#include <vector>

#include "unswift/base/progress.h"
#include "unswift/base/thread_pool.h"
#include "unswift/marks/registry.h"
#include "unswift/model/model.h"

namespace unswift {

struct RecipientScore {
  std::string name;
  double z = 0.0;               ///< see Score (mark_code.h)
  double false_positive = 1.0;  ///< that any innocent of the registry reaches z
};

struct TraceReport {
  std::vector<RecipientScore> recipients;  ///< highest score first
  int64_t positions = 0;                   ///< marked weights that were compared
  int64_t units = 0, matched_units = 0;    ///< of the MLPs, found again in the suspect
};

/// Compares the suspect's weights with the original's at the marked positions. Units of the MLP are
/// found again by the cosine of their input rows, and a unit's scale by its up row (gated MLPs).
/// Differences count as far as they exceed what else was done to the matrix: each is clipped at
/// four of its matrix's typical ones and weighed with their inverse square. Errors:
/// kInvalidArgument when the two are not plain models of one shape. Cost: reads both once; a layer
/// whose units are reordered costs a product of its gate matrices.
Result<TraceReport> TraceMarks(const Model& suspect, const Model& original,
                               const Registry& registry, ThreadPool& pool,
                               const ProgressFn& progress);

}  // namespace unswift
