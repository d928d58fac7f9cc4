#include "unswift/provenance/statement.h"

#include <algorithm>

#include "unswift/base/digest.h"
#include "unswift/base/file_set.h"
#include "unswift/io/json.h"
#include "unswift/io/text.h"
#include "unswift/provenance/encoding.h"

namespace unswift {
namespace {

constexpr char kStatementType[] = "https://in-toto.io/Statement/v1";
constexpr char kPredicateType[] = "https://model_signing/signature/v1.0";
constexpr JsonLimits kStatementLimits = {.max_bytes = size_t{64} << 20, .max_depth = 16};

/// SHA-256 over the files' digests in the order of the list.
std::string RootDigest(const std::vector<SignedFile>& files) {
  Sha256 hash;
  for (const SignedFile& file : files) hash.Update(AsBytes(BytesOfSha256Hex(file.sha256)));
  return hash.HexDigest();
}

tl::unexpected<Error> Invalid(const std::string& what, std::string_view why) {
  return MakeError(ErrorCode::kInvalidData, "[read_statement] {}: {}", what, why);
}

Result<SignedFile> ReadResource(const Json& json, const std::string& what) {
  SignedFile file;
  UNSWIFT_ASSIGN_OR_RETURN(file.path, GetField<std::string>(json, "name", what));
  UNSWIFT_ASSIGN_OR_RETURN(file.sha256, GetField<std::string>(json, "digest", what));
  UNSWIFT_RETURN_IF_ERROR(ExpectField(json, "algorithm", "sha256", what));
  if (!IsPlainFileName(file.path) || !IsSha256Hex(file.sha256)) {
    return Invalid(what, fmt::format("expected a plain file name and a SHA-256, got '{}'",
                                     Shorten(file.path)));
  }
  return file;
}

Result<std::string> ReadRootDigest(const Json& statement, const std::string& what) {
  const auto subject = statement.find("subject");
  if (subject == statement.end() || !subject->is_array() || subject->size() != 1 ||
      !subject->front().is_object() || !subject->front().contains("digest")) {
    return Invalid(what, "expected one subject with a digest");
  }
  return GetField<std::string>(subject->front().at("digest"), "sha256", what);
}

Result<> CheckSerialization(const Json& predicate, const std::string& what) {
  const auto found = predicate.find("serialization");
  if (found == predicate.end() || !found->is_object()) {
    return Invalid(what, "expected an object 'serialization'");
  }
  UNSWIFT_RETURN_IF_ERROR(ExpectField(*found, "method", "files", what));
  return ExpectField(*found, "hash_type", "sha256", what);
}

}  // namespace

std::string MakeStatement(std::string_view model_name, const std::vector<SignedFile>& files) {
  Json resources = Json::array();
  for (const SignedFile& file : files) {
    resources.push_back({{"name", file.path}, {"digest", file.sha256}, {"algorithm", "sha256"}});
  }
  const Json statement = {
      {"_type", kStatementType},
      {"subject",
       Json::array({{{"name", model_name}, {"digest", {{"sha256", RootDigest(files)}}}}})},
      {"predicateType", kPredicateType},
      {"predicate",
       {{"serialization",
         {{"method", "files"},
          {"hash_type", "sha256"},
          {"allow_symlinks", false},
          {"ignore_paths", Json::array({kSignatureName})}}},
        {"resources", std::move(resources)}}}};
  return statement.dump(2, ' ', false, Json::error_handler_t::replace);
}

Result<std::vector<SignedFile>> ReadStatement(std::string_view payload, const std::string& what) {
  UNSWIFT_ASSIGN_OR_RETURN(const Json json, ParseJson(payload, what, kStatementLimits));
  UNSWIFT_RETURN_IF_ERROR(ExpectField(json, "_type", kStatementType, what));
  UNSWIFT_RETURN_IF_ERROR(ExpectField(json, "predicateType", kPredicateType, what));
  UNSWIFT_ASSIGN_OR_RETURN(const std::string root, ReadRootDigest(json, what));
  const Json predicate = json.value("predicate", Json());
  if (!predicate.is_object()) return Invalid(what, "expected an object 'predicate'");
  UNSWIFT_RETURN_IF_ERROR(CheckSerialization(predicate, what));
  const auto resources = predicate.find("resources");
  if (resources == predicate.end() || !resources->is_array()) {
    return Invalid(what, "expected a list 'resources'");
  }
  std::vector<SignedFile> files;
  for (const Json& resource : *resources) {
    UNSWIFT_ASSIGN_OR_RETURN(SignedFile file, ReadResource(resource, what));
    files.push_back(std::move(file));
  }
  if (RootDigest(files) != root) return Invalid(what, "the list's digest is not that of the list");
  std::sort(files.begin(), files.end(),
            [](const SignedFile& a, const SignedFile& b) { return a.path < b.path; });
  const auto twice =
      std::adjacent_find(files.begin(), files.end(),
                         [](const SignedFile& a, const SignedFile& b) { return a.path == b.path; });
  if (twice != files.end()) return Invalid(what, fmt::format("'{}' is listed twice", twice->path));
  return files;
}

}  // namespace unswift
