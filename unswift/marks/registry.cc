#include "unswift/marks/registry.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>

#include "unswift/base/mapped_file.h"
#include "unswift/io/json.h"
#include "unswift/io/text.h"
#include "unswift/provenance/encoding.h"

namespace unswift {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kFormatVersion = 1;
constexpr size_t kMaxNameBytes = 256;

void Wipe(std::string& text) { sodium_memzero(text.data(), text.size()); }

/// Overwrites every key of a parsed or made document: its strings are ordinary memory.
class WipesKeys {
 public:
  explicit WipesKeys(Json& json) : json_(json) {}
  WipesKeys(const WipesKeys&) = delete;
  WipesKeys& operator=(const WipesKeys&) = delete;
  ~WipesKeys() {
    if (!json_.is_object()) return;
    WipeKeyOf(json_);
    const auto recipients = json_.find("recipients");
    if (recipients == json_.end() || !recipients->is_array()) return;
    for (Json& recipient : *recipients) WipeKeyOf(recipient);
  }

 private:
  static void WipeKeyOf(Json& object) {
    if (!object.is_object()) return;
    const auto key = object.find("key");
    if (key != object.end() && key->is_string()) Wipe(key->get_ref<std::string&>());
  }
  Json& json_;
};

tl::unexpected<Error> Bad(const fs::path& path, std::string_view what) {
  return MakeError(ErrorCode::kInvalidData, "[open_registry] {}: {}", path.string(), what);
}

Result<> CheckPrivate(const fs::path& path) {
  struct stat info = {};
  if (stat(path.c_str(), &info) != 0) {
    const bool missing = errno == ENOENT || errno == ENOTDIR;
    return MakeError(missing ? ErrorCode::kNotFound : ErrorCode::kIo, "[open_registry] {}: {}",
                     path.string(), std::strerror(errno));
  }
  if ((info.st_mode & 077) == 0) return {};
  return Bad(path,
             fmt::format("expected a file that only its owner may read (mode 0600), got {:04o}",
                         info.st_mode & 07777));
}

/// Decodes an object's "key" into `to`.
Result<> DecodeKey(const Json& object, std::span<std::byte> to, const fs::path& path) {
  const auto member = object.find("key");
  if (member == object.end() || !member->is_string()) return Bad(path, "'key': expected a string");
  std::optional<std::string> bytes = FromBase64(member->get_ref<const std::string&>());
  if (!bytes || bytes->size() != kMarkKeyBytes) {
    if (bytes) Wipe(*bytes);
    return Bad(path, fmt::format("'key': expected base64 of {} bytes", kMarkKeyBytes));
  }
  std::memcpy(to.data(), bytes->data(), to.size());
  Wipe(*bytes);
  return {};
}

Result<> CheckName(const std::string& name) {
  if (!name.empty() && name.size() <= kMaxNameBytes && IsValidUtf8(name)) return {};
  return MakeError(ErrorCode::kInvalidArgument,
                   "[registry] recipient: expected a name of 1 to {} bytes of UTF-8, got {} bytes",
                   kMaxNameBytes, name.size());
}

Result<> WriteAll(int file, std::string_view text, const fs::path& path) {
  while (!text.empty()) {
    const ssize_t count = write(file, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      return MakeError(ErrorCode::kIo, "[write_registry] {}: {}", path.string(),
                       std::strerror(errno));
    }
    text.remove_prefix(count);
  }
  return {};
}

}  // namespace

Result<std::span<std::byte>> Registry::AddKey() {
  if (num_keys_ % kKeysPerPage == 0) {
    UNSWIFT_ASSIGN_OR_RETURN(SecretMemory page,
                             SecretMemory::Allocate(kKeysPerPage * kMarkKeyBytes));
    keys_.push_back(std::move(page));
  }
  const std::span<std::byte> key =
      keys_.back().bytes().subspan(num_keys_ % kKeysPerPage * kMarkKeyBytes, kMarkKeyBytes);
  ++num_keys_;
  return key;
}

Result<Registry> Registry::Create() {
  if (sodium_init() < 0) {
    return MakeError(ErrorCode::kIo, "[registry] the system gives no random numbers");
  }
  Registry registry;
  UNSWIFT_ASSIGN_OR_RETURN(const std::span<std::byte> key, registry.AddKey());
  randombytes_buf(key.data(), key.size());
  return registry;
}

Result<Registry> Registry::Read(const fs::path& path) {
  UNSWIFT_RETURN_IF_ERROR(CheckPrivate(path));
  UNSWIFT_ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  Result<Json> parsed = ParseJson(text, path.string());
  Wipe(text);
  UNSWIFT_RETURN_IF_ERROR(parsed);
  Json& json = *parsed;
  const WipesKeys wipes(json);
  UNSWIFT_ASSIGN_OR_RETURN(const int64_t version,
                           GetField<int64_t>(json, "format_version", path.string()));
  if (version != kFormatVersion) {
    return Bad(path, fmt::format("'format_version': expected {}, got {}", kFormatVersion, version));
  }
  UNSWIFT_ASSIGN_OR_RETURN(Registry registry, Create());
  UNSWIFT_RETURN_IF_ERROR(DecodeKey(json, registry.keys_[0].bytes().first(kMarkKeyBytes), path));
  UNSWIFT_ASSIGN_OR_RETURN(registry.original_,
                           GetFieldOr<std::string>(json, "original", std::string(), path.string()));
  const auto recipients = json.find("recipients");
  if (recipients == json.end() || !recipients->is_array() || recipients->size() > kMaxRecipients) {
    return Bad(path, fmt::format("'recipients': expected an array of at most {}", kMaxRecipients));
  }
  std::set<std::string_view> seen;
  registry.names_.reserve(recipients->size());
  for (const Json& recipient : *recipients) {
    UNSWIFT_ASSIGN_OR_RETURN(std::string name,
                             GetField<std::string>(recipient, "name", path.string()));
    UNSWIFT_RETURN_IF_ERROR(CheckName(name));
    registry.names_.push_back(std::move(name));
    if (!seen.insert(registry.names_.back()).second) {
      return Bad(path, fmt::format("recipient '{}': expected once", registry.names_.back()));
    }
    UNSWIFT_ASSIGN_OR_RETURN(const std::span<std::byte> key, registry.AddKey());
    UNSWIFT_RETURN_IF_ERROR(DecodeKey(recipient, key, path));
  }
  return registry;
}

Result<> Registry::Write(const fs::path& path) const {
  Json json = {
      {"format_version", kFormatVersion}, {"original", original_}, {"recipients", Json::array()}};
  const WipesKeys wipes(json);
  json["key"] = Base64(key());
  for (size_t i = 0; i < size(); ++i) {
    Json recipient = {{"name", name(i)}};
    recipient["key"] = Base64(recipient_key(i));  // moved: a braced list would leave a copy behind
    json["recipients"].push_back(std::move(recipient));
  }
  std::string text = json.dump(2) + "\n";
  const fs::path aside = path.string() + ".partial";
  const int file = open(aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  Result<> status;
  if (file < 0) {
    status =
        MakeError(ErrorCode::kIo, "[write_registry] {}: {}", path.string(), std::strerror(errno));
  } else {
    status = WriteAll(file, text, path);
    const bool kept = fchmod(file, 0600) == 0 && fsync(file) == 0;
    const int saved = errno;
    const bool closed = close(file) == 0;
    if (status && (!kept || !closed || rename(aside.c_str(), path.c_str()) != 0)) {
      status = MakeError(ErrorCode::kIo, "[write_registry] {}: {}", path.string(),
                         std::strerror(kept ? errno : saved));
    }
    if (!status) unlink(aside.c_str());
  }
  Wipe(text);
  return status;
}

Result<size_t> Registry::FindOrAdd(const std::string& name) {
  UNSWIFT_RETURN_IF_ERROR(CheckName(name));
  for (size_t i = 0; i < size(); ++i) {
    if (names_[i] == name) return i;
  }
  if (size() == kMaxRecipients) {
    return MakeError(ErrorCode::kInvalidArgument, "[registry] expected at most {} recipients",
                     kMaxRecipients);
  }
  UNSWIFT_ASSIGN_OR_RETURN(const std::span<std::byte> key, AddKey());
  randombytes_buf(key.data(), key.size());
  names_.push_back(name);
  return size() - 1;
}

}  // namespace unswift
