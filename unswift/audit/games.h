// The five games of docs/threat_model.md, each with a number that was measured.
#pragma once

#include <string>
#include <vector>

#include "unswift/audit/attack.h"

namespace unswift {

struct GameResult {
  std::string game;
  bool measured = false;
  double value = 0.0;
  std::string unit;  ///< what value is
  double seconds = 0.0;
  std::string verdict;
};

/// EXTRACT: share of protected units recovered by the best attack. EQUIV: share of greedy tokens
/// that the collapsed model has in common. SPEED: its decode speed over the release's. TRACE: files
/// of the recovered checkpoint that still name the recipient. TAMPER: share of changed files that
/// the integrity check accepts once the manifest is made to fit. Errors: kIo.
Result<std::vector<GameResult>> PlayGames(const AuditTarget& target,
                                          const std::vector<AttackResult>& attacks);

}  // namespace unswift
