#include "unswift/audit/games.h"

#include <stdlib.h>

#include <chrono>

#include "unswift/base/atomic_directory.h"
#include "unswift/base/digest.h"
#include "unswift/base/mapped_file.h"
#include "unswift/base/scratch_directory.h"

namespace unswift {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

GameResult Extract(const std::vector<AttackResult>& attacks) {
  GameResult game{"EXTRACT", false, 0.0, "share of protected units recovered", 0.0, "not run"};
  double least_error = 0.0;
  for (const AttackResult& attack : attacks) {
    if (!attack.applies || attack.game != "EXTRACT" || !attack.exact_fraction) continue;
    const bool complete = !attack.details.value("scale_free", false);
    const bool better =
        attack.recovered_fraction > game.value ||
        (attack.recovered_fraction == game.value && attack.max_relative_error <= least_error);
    if (!complete || (game.measured && !better)) continue;
    least_error = attack.max_relative_error;
    game.measured = true;
    game.value = attack.recovered_fraction;
    game.seconds = attack.seconds;
    game.verdict = attack.recovered_fraction >= 0.99
                       ? fmt::format("lost: {} gives the hidden weights back", attack.name)
                       : fmt::format("{} gives {:.1f} % of the hidden units back", attack.name,
                                     100.0 * attack.recovered_fraction);
  }
  return game;
}

GameResult OfCollapse(const std::vector<AttackResult>& attacks, bool speed) {
  GameResult game{speed ? "SPEED" : "EQUIV",
                  false,
                  0.0,
                  speed ? "decode speed of the collapsed model over the release's"
                        : "share of greedy tokens in common",
                  0.0,
                  "not run"};
  for (const AttackResult& attack : attacks) {
    if (attack.name != kCollapse.name || !attack.applies) continue;
    game.measured = true;
    game.value = speed ? attack.speedup.value_or(0.0) : attack.recovered_fraction;
    game.seconds = attack.seconds;
    if (speed) {
      game.verdict = game.value > 1.05 ? "lost: the slowdown is gone after one recovery"
                                       : "nothing gained over the release";
    } else {
      game.verdict = game.value >= 0.99 ? "lost: a plain model says the same"
                                        : "the recovered model differs in places";
    }
  }
  return game;
}

/// How many files under a directory contain a text.
Result<int64_t> FilesThatName(const fs::path& directory, const std::string& text) {
  int64_t count = 0;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, error)) {
    if (!entry.is_regular_file()) continue;
    UNSWIFT_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(entry.path()));
    const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()),
                                 file.bytes().size());
    count += bytes.find(text) != bytes.npos ? 1 : 0;
  }
  return count;
}

Result<GameResult> Trace(const AuditTarget& target) {
  GameResult game{"TRACE", false, 0.0, "recovered files that still name the recipient", 0.0, ""};
  const std::string& recipient = target.manifest->recipient;
  if (recipient.empty()) {
    game.verdict = "the release names no recipient: a leak could not be traced to one";
    return game;
  }
  if (target.recovered.empty()) {
    game.verdict = "not run: needs the collapse";
    return game;
  }
  const auto start = Clock::now();
  UNSWIFT_ASSIGN_OR_RETURN(const int64_t files, FilesThatName(target.recovered, recipient));
  game.measured = true;
  game.value = static_cast<double>(files);
  game.seconds = SecondsSince(start);
  game.verdict =
      files == 0 ? "lost: the recipient's name does not survive the recovery; marks in the weights "
                   "('protect --registry') would, and only their owner can see them: 'trace'"
                 : "the recipient's name is still in the recovered checkpoint";
  return game;
}

/// The release's small files with a manifest of their own: what a mirror could hand on.
struct Copy {
  ScratchDirectory directory;
  Manifest manifest;
};

Result<Copy> CopySmallFiles(const AuditTarget& target) {
  constexpr int64_t kSmall = 64 << 10;
  UNSWIFT_ASSIGN_OR_RETURN(ScratchDirectory directory, ScratchDirectory::Create());
  Copy copy{std::move(directory), *target.manifest};
  copy.manifest.files.clear();
  for (const ManifestFile& file : target.manifest->files) {
    if (file.bytes > kSmall || file.bytes == 0) continue;
    UNSWIFT_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(target.directory / file.path));
    UNSWIFT_RETURN_IF_ERROR(WriteFile(copy.directory.path() / file.path, bytes));
    copy.manifest.files.push_back(file);
  }
  return copy;
}

Result<GameResult> Tamper(const AuditTarget& target) {
  GameResult game{"TAMPER", false, 0.0, "share of changed files accepted with a new manifest",
                  0.0,      ""};
  if (fs::exists(target.directory / kSignatureName)) {
    game.verdict = "signed: a changed copy is refused by whoever checks it with the owner's key";
    return game;
  }
  const auto start = Clock::now();
  UNSWIFT_ASSIGN_OR_RETURN(Copy copy, CopySmallFiles(target));
  int64_t seen = 0, accepted = 0, tried = 0;
  for (ManifestFile& file : copy.manifest.files) {
    const fs::path path = copy.directory.path() / file.path;
    UNSWIFT_ASSIGN_OR_RETURN(const std::string before, ReadFile(path));
    std::string changed = before;
    changed[changed.size() / 2] ^= 1;
    UNSWIFT_RETURN_IF_ERROR(WriteFile(path, changed));
    ++tried;
    seen += CheckDigests(copy.directory.path(), copy.manifest, *target.pool) ? 0 : 1;
    const std::string digest = file.sha256;
    file.sha256 = Sha256Hex(std::as_bytes(std::span(changed)));
    accepted += CheckDigests(copy.directory.path(), copy.manifest, *target.pool) ? 1 : 0;
    file.sha256 = digest;
    UNSWIFT_RETURN_IF_ERROR(WriteFile(path, before));
  }
  game.measured = tried > 0;
  game.value = static_cast<double>(accepted) / static_cast<double>(std::max<int64_t>(tried, 1));
  game.seconds = SecondsSince(start);
  game.verdict = fmt::format(
      "{} of {} damaged files are noticed; {} of {} pass when the manifest is edited, too: it is "
      "not signed",
      seen, tried, accepted, tried);
  return game;
}

}  // namespace

Result<std::vector<GameResult>> PlayGames(const AuditTarget& target,
                                          const std::vector<AttackResult>& attacks) {
  std::vector<GameResult> games = {Extract(attacks), OfCollapse(attacks, false),
                                   OfCollapse(attacks, true)};
  UNSWIFT_ASSIGN_OR_RETURN(GameResult trace, Trace(target));
  games.push_back(std::move(trace));
  UNSWIFT_ASSIGN_OR_RETURN(GameResult tamper, Tamper(target));
  games.push_back(std::move(tamper));
  return games;
}

}  // namespace unswift
