#include "unswift/cli/verify_files.h"

#include <fmt/core.h>

#include "unswift/provenance/key.h"
#include "unswift/provenance/secret_memory.h"
#include "unswift/release/reader/signature.h"

namespace unswift {
namespace {

struct Verdict {
  size_t files = 0;
  bool is_signed = false;        ///< whether there is a signature
  std::optional<PublicKey> key;  ///< that it was judged with
  Result<> digests, signature, version;

  bool holds() const { return digests && signature && version; }
  /// The first thing that does not hold.
  std::string problem() const {
    for (const Result<>* part : {&signature, &digests, &version}) {
      if (!*part) return part->error().message;
    }
    return "";
  }
};

Result<> CheckVersion(const Manifest& manifest, int64_t least) {
  if (manifest.release_version >= least) return {};
  return MakeError(ErrorCode::kInvalidData,
                   "[verify] release version: expected at least {}, got {}", least,
                   manifest.release_version);
}

Result<Verdict> Judge(CommandLine& line, const std::string& release) {
  OpenModelOptions options = line.common().open;
  Verdict verdict;
  if (options.require_signature) {
    UNSWIFT_ASSIGN_OR_RETURN(verdict.key,
                             PublicKey::Read(*options.require_signature, KeyType::kSigning));
  }
  const int64_t least = options.min_version;
  options = {.check_digests = false, .ignore_expiry = true, .unseal_key = options.unseal_key};
  if (options.unseal_key) ForbidCoreDumps();
  UNSWIFT_ASSIGN_OR_RETURN(const OpenedFiles opened,
                           OpenModelFiles(release, options, line.pool(), line.progress()));
  if (!opened.manifest) {
    return MakeError(ErrorCode::kInvalidArgument, "[verify] {}: expected a release ({} is missing)",
                     release, kManifestName);
  }
  verdict.is_signed = opened.files.Contains(kSignatureName);
  verdict.files = opened.manifest->files.size();
  const Result<std::vector<ManifestFile>> found = DigestFiles(opened.files, line.pool());
  if (!found) {
    verdict.digests = tl::unexpected<Error>(found.error());
    if (verdict.key) verdict.signature = verdict.digests;
    return verdict;
  }
  verdict.digests = CompareDigests(opened.files, *opened.manifest, *found);
  if (verdict.key) verdict.signature = CheckSignature(opened.files, *verdict.key, *found);
  verdict.version = CheckVersion(*opened.manifest, least);
  return verdict;
}

Json VerdictJson(const Verdict& verdict) {
  // A signature that nobody gave a key for is neither valid nor invalid.
  Json valid;
  if (verdict.key || !verdict.is_signed) valid = verdict.is_signed && verdict.signature;
  Json json = {{"files", verdict.files},
               {"signature",
                {{"present", verdict.is_signed},
                 {"valid", std::move(valid)},
                 {"key_id", verdict.key ? Json(verdict.key->id()) : Json()}}},
               {"holds", verdict.holds()}};
  if (!verdict.holds()) json["problem"] = verdict.problem();
  return json;
}

void PrintVerdict(const Verdict& verdict) {
  if (!verdict.holds()) {
    fmt::print("{}\n", verdict.problem());
    return;
  }
  fmt::print("{} files match the manifest\n", verdict.files);
  if (verdict.key) {
    fmt::print("signed by key {}\n", verdict.key->id());
  } else {
    fmt::print("{}\n", verdict.is_signed ? "signed; --key PUB checks by whom" : "not signed");
  }
}

}  // namespace

Result<ExitStatus> VerifyFiles(CommandLine& line, const std::string& release) {
  if (line.common().open.min_version > 0 && !line.common().open.require_signature) {
    return MakeError(ErrorCode::kInvalidArgument, "[verify] --min-version: expected --key as well");
  }
  UNSWIFT_ASSIGN_OR_RETURN(const Verdict verdict, Judge(line, release));
  if (line.common().json) {
    PrintJson(VerdictJson(verdict));
  } else {
    PrintVerdict(verdict);
  }
  return verdict.holds() ? kDone : kDoesNotHold;
}

}  // namespace unswift
