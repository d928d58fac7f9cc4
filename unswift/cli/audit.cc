#include "unswift/audit/audit.h"

#include <fmt/core.h>

#include "unswift/cli/command_line.h"

namespace unswift {
namespace {

struct AuditFlags {
  std::string release, attacks = "all";
  std::optional<std::string> original, base, output;
  bool force = false;
};

void PrintReport(const AuditReport& report) {
  for (const AttackResult& attack : report.attacks) {
    fmt::print("{:<20} {:<8} {:>7.2f} s  {}\n", attack.name, attack.game, attack.seconds,
               attack.verdict);
  }
  fmt::print("\n");
  for (const GameResult& game : report.games) {
    const std::string value = game.measured ? fmt::format("{:.4g}", game.value) : "-";
    fmt::print("{:<8} {:>8}  {}\n", game.game, value, game.verdict);
  }
  fmt::print("{} protected units, {:.1f} s\n", report.protected_units, report.seconds);
}

Result<ExitStatus> RunAudit(CommandLine& line, const AuditFlags& flags) {
  AuditOptions options;
  UNSWIFT_ASSIGN_OR_RETURN(options.attacks, ParseAttacks(flags.attacks));
  UNSWIFT_ASSIGN_OR_RETURN(const OpenedModel release, OpenForRun(line, flags.release));
  std::optional<OpenedModel> original, base;
  if (flags.original) {
    UNSWIFT_ASSIGN_OR_RETURN(OpenedModel opened, OpenModel(*flags.original, {}, line.pool()));
    options.original = &original.emplace(std::move(opened)).model;
  }
  if (flags.base) {
    UNSWIFT_ASSIGN_OR_RETURN(OpenedModel opened, OpenModel(*flags.base, {}, line.pool()));
    options.base = &base.emplace(std::move(opened)).model;
  }
  options.output = flags.output;
  options.replace = flags.force;
  UNSWIFT_ASSIGN_OR_RETURN(const AuditReport report,
                           Audit(flags.release, release, options, line.pool(), line.progress()));
  if (line.common().json) {
    PrintJson(ReportJson(report));
  } else {
    PrintReport(report);
  }
  return kDone;
}

}  // namespace

void AddAudit(CommandLine& line) {
  auto flags = std::make_shared<AuditFlags>();
  CLI::App* command =
      line.AddCommand("audit", "what can somebody who holds a release get back from it?",
                      [&line, flags] { return RunAudit(line, *flags); });
  AddModel(line, command, flags->release, "release");
  command->add_option("--original", flags->original,
                      "what it was made of: exact errors instead of estimates");
  command->add_option("--base", flags->base, "a public base model, for 'align'");
  command
      ->add_option("--attacks", flags->attacks,
                   "all, or names separated by commas: direct, least_squares, ratio, rank1, "
                   "consistent_rounding, quantized, black_box, align, collapse")
      ->capture_default_str();
  command->add_option("-o,--output", flags->output, "write the recovered checkpoint here");
  command->add_flag("--force", flags->force, "replace an existing directory");
}

}  // namespace unswift
