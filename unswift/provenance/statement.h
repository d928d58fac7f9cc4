// What a signature says: an in-toto statement that lists every file of a model with its SHA-256, in
// the form of OpenSSF model-signing 1.0.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "unswift/base/result.h"

namespace unswift {

/// The file of a model that holds its signature; the only one that is not signed.
inline constexpr char kSignatureName[] = "unswift.sig";

struct SignedFile {
  std::string path;    ///< a plain file name
  std::string sha256;  ///< 64 lower-case hex digits
  bool operator==(const SignedFile&) const = default;
};

/// files: sorted by path. model_name is information.
std::string MakeStatement(std::string_view model_name, const std::vector<SignedFile>& files);

/// The files of a statement, sorted by path; `what` names it in messages. Errors: kInvalidData
/// (another form, a path that leaves the directory, a file twice, a digest over the list that is
/// not the list's), kUnsupported (another predicate, files in directories, other hashes than
/// SHA-256).
Result<std::vector<SignedFile>> ReadStatement(std::string_view payload, const std::string& what);

}  // namespace unswift
