#include <fmt/core.h>

#include "unswift/audit/audit.h"
#include "unswift/base/scratch_directory.h"
#include "unswift/cli/command_line.h"
#include "unswift/io/json.h"
#include "unswift/marks/detector.h"
#include "unswift/marks/mark_code.h"
#include "unswift/provenance/secret_memory.h"

namespace unswift {
namespace {

constexpr size_t kShownRecipients = 10;

struct TraceFlags {
  std::string suspect, registry;
  std::optional<std::string> base;
};

/// The suspect as a plain model: what the audit recovers from a release.
Result<OpenedModel> OpenPlain(CommandLine& line, const std::string& suspect,
                              std::optional<ScratchDirectory>& scratch) {
  UNSWIFT_ASSIGN_OR_RETURN(OpenedModel opened, OpenForRun(line, suspect));
  if (!opened.model.is_release()) return opened;
  UNSWIFT_ASSIGN_OR_RETURN(ScratchDirectory made, ScratchDirectory::Create());
  scratch.emplace(std::move(made));
  AuditOptions options;
  options.attacks = {&kConsistentRounding};
  options.output = scratch->path() / "recovered";
  UNSWIFT_RETURN_IF_ERROR(Audit(suspect, opened, options, line.pool(), line.progress()));
  return OpenForRun(line, options.output->string());
}

Result<std::string> OriginalOf(const TraceFlags& flags, const Registry& registry) {
  if (flags.base) return *flags.base;
  if (!registry.original().empty()) return registry.original();
  return MakeError(ErrorCode::kInvalidArgument,
                   "[trace] expected --base, the original: registry '{}' does not name one",
                   flags.registry);
}

Json ReportJson(const TraceReport& report) {
  Json recipients = Json::array(), named = Json::array();
  for (const RecipientScore& score : report.recipients) {
    recipients.push_back(
        {{"name", score.name}, {"z", score.z}, {"false_positive", score.false_positive}});
    if (score.z >= kNamedScore) named.push_back(score.name);
  }
  return {{"named", named},
          {"recipients", recipients},
          {"threshold", kNamedScore},
          {"positions", report.positions},
          {"symbols", kCodeLength},
          {"units", report.units},
          {"matched_units", report.matched_units}};
}

void PrintReport(const TraceReport& report) {
  fmt::print("{} marked weights compared; {} of {} units found again\n", report.positions,
             report.matched_units, report.units);
  size_t shown = 0;
  for (const RecipientScore& score : report.recipients) {
    if (shown++ == kShownRecipients) break;
    fmt::print("{:>8.1f} sigma  {}  ({:.1e} that one of {} innocents gets there){}\n", score.z,
               score.name, score.false_positive, report.recipients.size(),
               score.z >= kNamedScore ? "  <- named" : "");
  }
  if (report.recipients.empty() || report.recipients.front().z < kNamedScore) {
    fmt::print("nobody is named: no score of {:.0f} sigma or more\n", kNamedScore);
  }
}

Result<ExitStatus> RunTrace(CommandLine& line, const TraceFlags& flags) {
  ForbidCoreDumps();
  UNSWIFT_ASSIGN_OR_RETURN(const Registry registry, Registry::Read(flags.registry));
  UNSWIFT_ASSIGN_OR_RETURN(const std::string base, OriginalOf(flags, registry));
  UNSWIFT_ASSIGN_OR_RETURN(const OpenedModel original, OpenModel(base, {}, line.pool()));
  std::optional<ScratchDirectory> scratch;
  UNSWIFT_ASSIGN_OR_RETURN(const OpenedModel suspect, OpenPlain(line, flags.suspect, scratch));
  UNSWIFT_ASSIGN_OR_RETURN(
      const TraceReport report,
      TraceMarks(suspect.model, original.model, registry, line.pool(), line.progress()));
  if (line.common().json) {
    PrintJson(ReportJson(report));
  } else {
    PrintReport(report);
  }
  const bool named = !report.recipients.empty() && report.recipients.front().z >= kNamedScore;
  return named ? kDone : kDoesNotHold;
}

}  // namespace

void AddTrace(CommandLine& line) {
  auto flags = std::make_shared<TraceFlags>();
  CLI::App* command =
      line.AddCommand("trace", "whose marks does a release or a model made from one carry?",
                      [&line, flags] { return RunTrace(line, *flags); });
  AddModel(line, command, flags->suspect, "release, or a plain checkpoint");
  line.AddWeights(command);
  command->add_option("--registry", flags->registry, "of 'protect --registry': the owner's secret")
      ->required();
  command->add_option("--base", flags->base,
                      "the original (default: the directory that the registry names)");
}

}  // namespace unswift
