// The audit: what somebody who holds a release can get back from it, measured by doing it.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "unswift/audit/attack.h"
#include "unswift/audit/games.h"

namespace unswift {

struct AuditOptions {
  std::vector<const Attack*> attacks;           ///< as reported; see ParseAttacks
  const Model* original = nullptr;              ///< turns estimates into exact errors
  const Model* base = nullptr;                  ///< a public base model for `align`
  std::optional<std::filesystem::path> output;  ///< where the recovered checkpoint goes
  bool replace = false;
};

struct AuditReport {
  std::vector<AttackResult> attacks;  ///< in the order asked for
  std::vector<GameResult> games;
  int64_t protected_units = 0;
  double seconds = 0.0;
};

/// Runs the attacks on an opened release. The one pass over theta serves all block attacks and the
/// collapse, layer by layer. Errors: kInvalidArgument (no release, an original or a base of another
/// shape), kAlreadyExists, kIo.
Result<AuditReport> Audit(const std::filesystem::path& directory, const OpenedModel& release,
                          const AuditOptions& options, ThreadPool& pool,
                          const ProgressFn& progress);

Json ReportJson(const AuditReport& report);

}  // namespace unswift
