// What an attack is, and what it reports. One attack per file, one table of them (attacks.cc).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "unswift/audit/block_recovery.h"
#include "unswift/base/progress.h"
#include "unswift/base/result.h"
#include "unswift/io/json.h"
#include "unswift/release/reader/open_model.h"

namespace unswift {

/// A unit counts as recovered when its column is within this of the original's (Euclidean,
/// relative): the threshold of the published attack (arXiv 2506.19874).
inline constexpr double kRecoveredError = 0.01;

struct AttackResult {
  std::string name, game;
  bool applies = true;
  double recovered_fraction = 0.0;
  double max_relative_error = 0.0;       ///< of a column; of what the verdict names otherwise
  std::optional<double> exact_fraction;  ///< of the protected weights, equal to the last bit
  bool estimated = false;                ///< no original was given to compare with
  double seconds = 0.0;
  std::optional<double> speedup;  ///< of what was derived over the release, in decoding
  std::string verdict;
  Json details = Json::object();
};

/// What is being attacked, and what may be compared with. Pointers live as long as the audit.
struct AuditTarget {
  std::filesystem::path directory;
  const Model* release = nullptr;
  const Manifest* manifest = nullptr;
  const Model* original = nullptr;  ///< or null
  const Model* base = nullptr;      ///< a public base model, or null
  std::filesystem::path recovered;  ///< the checkpoint that the recovery wrote, or empty
  double recovery_seconds = 0.0;
  ThreadPool* pool = nullptr;
};

/// Estimates the weights of a block, [rows][16]; outcome is filled where it is known.
using BlockEstimate = std::span<const float> (*)(BlockRecovery& recovery,
                                                 std::span<UnitOutcome> outcome);
/// Attacks the release as a whole.
using ModelAttack = Result<AttackResult> (*)(const AuditTarget& target);

struct Attack {
  std::string_view name, game;
  BlockEstimate block = nullptr;  ///< runs inside the one pass over theta ...
  ModelAttack model = nullptr;    ///< ... or after it
  bool scale_free = false;        ///< finds columns up to a factor
  bool quantized_only = false;    ///< says something about block-quantised theta only
};

// One per file.
extern const Attack kDirect, kLeastSquares, kRatio, kRank1, kConsistentRounding, kQuantized,
    kBlackBox, kAlign, kCollapse;

/// In the order in which they are reported.
std::vector<const Attack*> AllAttacks();
/// "all", or names separated by commas. Errors: kInvalidArgument naming what is known.
Result<std::vector<const Attack*>> ParseAttacks(std::string_view names);

}  // namespace unswift
