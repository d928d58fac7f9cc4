#include "unswift/audit/audit.h"

#include <algorithm>
#include <chrono>

#include "unswift/audit/layer_recovery.h"
#include "unswift/audit/recovered_model.h"
#include "unswift/base/atomic_directory.h"
#include "unswift/base/scratch_directory.h"

namespace unswift {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Result<> CheckOriginal(const OpenedModel& release, const AuditOptions& options) {
  if (!release.manifest) {
    return MakeError(ErrorCode::kInvalidArgument, "[audit] expected a release ({} is missing)",
                     kManifestName);
  }
  if (options.original == nullptr) return {};
  const ModelConfig& a = release.model.config();
  const ModelConfig& b = options.original->config();
  const bool same = a.architecture == b.architecture && a.hidden_size == b.hidden_size &&
                    a.intermediate_size == b.intermediate_size && a.vocab_size == b.vocab_size &&
                    a.num_hidden_layers == b.num_hidden_layers;
  if (same && !options.original->is_release()) return {};
  return MakeError(
      ErrorCode::kInvalidArgument,
      "[audit] original: expected the plain {} that the release was made of ([{}, {}], "
      "{} layers), got {} [{}, {}], {} layers",
      a.architecture->name, a.hidden_size, a.intermediate_size, a.num_hidden_layers,
      options.original->is_release() ? "a release" : b.architecture->name, b.hidden_size,
      b.intermediate_size, b.num_hidden_layers);
}

/// Runs the pass over all layers and, with a writer, writes the recovered model.
class Recovery {
 public:
  Recovery(const OpenedModel& release, const AuditOptions& options, ThreadPool& pool)
      : release_(release.model), options_(options), pool_(pool) {
    for (const Attack* attack : options.attacks) {
      const bool quantized = IsQuantized(release.manifest->theta_dtype);
      if (attack->block != nullptr && (quantized || !attack->quantized_only)) {
        attacks_.push_back(attack);
      }
    }
    tallies_.resize(attacks_.size());
  }

  Result<> Run(RecoveredModelWriter* writer, const ProgressFn& progress) {
    const auto start = Clock::now();
    const int64_t layers = release_.config().num_hidden_layers;
    for (int64_t layer = 0; layer < layers; ++layer) {
      Report(progress, "audit", static_cast<double>(layer) / static_cast<double>(layers));
      const bool is_protected = release_.layers()[layer].mlp.series.has_value();
      LayerPass pass;
      if (is_protected) {
        pass = RecoverLayer(release_, layer, attacks_, options_.original, pool_);
        for (size_t a = 0; a < attacks_.size(); ++a) tallies_[a].Add(pass.tallies[a]);
        Note(pass.recovered);
      }
      if (writer == nullptr) continue;
      UNSWIFT_RETURN_IF_ERROR(writer->WriteLayer(layer, is_protected ? &pass.recovered : nullptr));
    }
    if (writer != nullptr) UNSWIFT_RETURN_IF_ERROR(writer->Finish());
    Report(progress, "audit", 1.0);
    seconds_ = SecondsSince(start);
    return {};
  }

  double seconds() const { return seconds_; }

  AttackResult ResultOf(const Attack& attack) const {
    AttackResult result;
    const auto found = std::find(attacks_.begin(), attacks_.end(), &attack);
    if (found == attacks_.end()) {
      result.applies = false;
      result.verdict = "not run: theta is not block-quantised";
      return result;
    }
    const AttackTally& tally = tallies_[found - attacks_.begin()];
    const double units = static_cast<double>(std::max<int64_t>(tally.units, 1));
    result.recovered_fraction = static_cast<double>(tally.recovered) / units;
    result.max_relative_error = tally.max_relative_error;
    result.exact_fraction =
        static_cast<double>(tally.exact) / static_cast<double>(std::max<int64_t>(tally.entries, 1));
    result.estimated = options_.original == nullptr;
    result.seconds = tally.thread_seconds / pool_.num_threads();
    result.details = {{"units", tally.units}, {"scale_free", attack.scale_free}};
    if (&attack == &kConsistentRounding) {
      result.details["units_on_grid"] = on_grid_;
      result.details["largest_fit_residual"] = largest_fit_residual_;
    }
    result.verdict = fmt::format(
        "{:.2f} % of {} units within {:.0f} %, largest error {:.1e}, {:.3f} % of weights {}{}",
        100.0 * result.recovered_fraction, tally.units, 100.0 * kRecoveredError,
        result.max_relative_error, 100.0 * *result.exact_fraction,
        result.estimated ? "as in the best solution (estimated)" : "exact to the last bit",
        attack.scale_free ? ", up to one factor per unit" : "");
    return result;
  }

 private:
  void Note(const RecoveredLayer& layer) {
    for (const UnitOutcome& outcome : layer.outcome) on_grid_ += outcome.on_grid ? 1 : 0;
    for (const FunctionFit& fit : layer.fit) {
      largest_fit_residual_ = std::max(largest_fit_residual_, std::min(fit.residual, 1.0));
    }
  }

  const Model& release_;
  const AuditOptions& options_;
  ThreadPool& pool_;
  std::vector<const Attack*> attacks_;
  std::vector<AttackTally> tallies_;
  int64_t on_grid_ = 0;
  double largest_fit_residual_ = 0.0;
  double seconds_ = 0.0;
};

bool Wants(const AuditOptions& options, const Attack& attack) {
  return std::find(options.attacks.begin(), options.attacks.end(), &attack) !=
         options.attacks.end();
}

Result<std::vector<AttackResult>> RunAttacks(const AuditTarget& target, const Recovery& recovery,
                                             const AuditOptions& options,
                                             const ProgressFn& progress) {
  std::vector<AttackResult> results;
  for (const Attack* attack : options.attacks) {
    Report(progress, attack->name, 0.0);
    AttackResult result;
    if (attack->model != nullptr) {
      UNSWIFT_ASSIGN_OR_RETURN(result, attack->model(target));
    } else {
      result = recovery.ResultOf(*attack);
    }
    result.name = attack->name;
    result.game = attack->game;
    results.push_back(std::move(result));
  }
  Report(progress, "audit", 1.0);
  return results;
}

}  // namespace

Result<AuditReport> Audit(const std::filesystem::path& directory, const OpenedModel& release,
                          const AuditOptions& options, ThreadPool& pool,
                          const ProgressFn& progress) {
  const auto start = Clock::now();
  UNSWIFT_RETURN_IF_ERROR(CheckOriginal(release, options));
  AuditTarget target;
  target.directory = directory;
  target.release = &release.model;
  target.manifest = &*release.manifest;
  target.original = options.original;
  target.base = options.base;
  target.pool = &pool;
  std::optional<AtomicDirectory> output;
  std::optional<ScratchDirectory> scratch;
  if (options.output) {
    UNSWIFT_ASSIGN_OR_RETURN(AtomicDirectory made,
                             AtomicDirectory::Create(*options.output, options.replace));
    output.emplace(std::move(made));
    target.recovered = output->path();
  } else if (Wants(options, kCollapse)) {
    UNSWIFT_ASSIGN_OR_RETURN(ScratchDirectory made, ScratchDirectory::Create());
    scratch.emplace(std::move(made));
    target.recovered = scratch->path();
  }
  Recovery recovery(release, options, pool);
  std::optional<RecoveredModelWriter> writer;
  if (!target.recovered.empty()) writer.emplace(release.model, directory, target.recovered);
  UNSWIFT_RETURN_IF_ERROR(recovery.Run(writer ? &*writer : nullptr, progress));
  target.recovery_seconds = recovery.seconds();
  AuditReport report;
  UNSWIFT_ASSIGN_OR_RETURN(report.attacks, RunAttacks(target, recovery, options, progress));
  UNSWIFT_ASSIGN_OR_RETURN(report.games, PlayGames(target, report.attacks));
  if (output) UNSWIFT_RETURN_IF_ERROR(output->Commit());
  report.protected_units = release.manifest->protected_units();
  report.seconds = SecondsSince(start);
  return report;
}

Json ReportJson(const AuditReport& report) {
  Json attacks = Json::array(), games = Json::object();
  const auto number_or_null = [](const std::optional<double>& value) {
    return value ? Json(*value) : Json();
  };
  for (const AttackResult& attack : report.attacks) {
    attacks.push_back({{"name", attack.name},
                       {"game", attack.game},
                       {"applies", attack.applies},
                       {"recovered_fraction", attack.recovered_fraction},
                       {"max_relative_error", attack.max_relative_error},
                       {"exact_fraction", number_or_null(attack.exact_fraction)},
                       {"estimated", attack.estimated},
                       {"seconds", attack.seconds},
                       {"speedup", number_or_null(attack.speedup)},
                       {"verdict", attack.verdict},
                       {"details", attack.details}});
  }
  for (const GameResult& game : report.games) {
    games[game.game] = {{"value", game.measured ? Json(game.value) : Json()},
                        {"unit", game.unit},
                        {"seconds", game.seconds},
                        {"verdict", game.verdict}};
  }
  return {{"attacks", std::move(attacks)},
          {"summary",
           {{"games", std::move(games)},
            {"protected_units", report.protected_units},
            {"seconds", report.seconds}}}};
}

}  // namespace unswift
