#include "unswift/provenance/sealed_payload.h"

#include "unswift/base/file_set.h"
#include "unswift/io/json.h"
#include "unswift/io/text.h"
#include "unswift/provenance/sealed_header.h"

namespace unswift {
namespace {

constexpr JsonLimits kTableLimits = {.max_bytes = size_t{16} << 20, .max_depth = 4};

uint64_t Align(uint64_t offset) {
  return (offset + kSealedAlignment - 1) / kSealedAlignment * kSealedAlignment;
}

auto Invalid(const std::string& what, std::string_view why) {
  return MakeError(ErrorCode::kInvalidData, "[open_sealed] {}: {}", what, why);
}

}  // namespace

std::string EncodeTable(std::vector<SealedFile>& files) {
  Json list = Json::array();
  for (const SealedFile& file : files) {
    list.push_back({{"path", file.path}, {"bytes", file.bytes}});
  }
  const std::string text =
      Json({{"files", std::move(list)}}).dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string table;
  for (uint64_t i = 0; i < kTableLengthBytes; ++i) {
    table += static_cast<char>(text.size() >> (8 * i) & 0xff);
  }
  table += text;
  uint64_t end = table.size();
  for (SealedFile& file : files) {
    file.offset = Align(end);
    end = file.offset + file.bytes;
  }
  return table;
}

Result<uint64_t> TableBytes(std::span<const std::byte> start, uint64_t payload_bytes,
                            const std::string& what) {
  if (start.size() < kTableLengthBytes) return Invalid(what, "expected a table of files");
  uint64_t length = 0;
  for (uint64_t i = 0; i < kTableLengthBytes; ++i) {
    length |= std::to_integer<uint64_t>(start[i]) << (8 * i);
  }
  if (length > kTableLimits.max_bytes || length + kTableLengthBytes > payload_bytes) {
    return Invalid(what, fmt::format("expected a table within {} bytes, got one of {}",
                                     payload_bytes, length));
  }
  return length + kTableLengthBytes;
}

Result<std::vector<SealedFile>> DecodeTable(std::span<const std::byte> table,
                                            uint64_t payload_bytes, const std::string& what) {
  const std::string_view text(reinterpret_cast<const char*>(table.data()) + kTableLengthBytes,
                              table.size() - kTableLengthBytes);
  UNSWIFT_ASSIGN_OR_RETURN(const Json json, ParseJson(text, what, kTableLimits));
  const auto list = json.is_object() ? json.find("files") : json.end();
  if (list == json.end() || !list->is_array()) return Invalid(what, "expected a list 'files'");
  std::vector<SealedFile> files;
  uint64_t end = table.size();
  for (const Json& entry : *list) {
    SealedFile file;
    UNSWIFT_ASSIGN_OR_RETURN(file.path, GetField<std::string>(entry, "path", what));
    UNSWIFT_ASSIGN_OR_RETURN(const int64_t bytes, GetField<int64_t>(entry, "bytes", what));
    file.bytes = static_cast<uint64_t>(bytes);
    file.offset = Align(end);
    if (!IsPlainFileName(file.path) || (!files.empty() && files.back().path >= file.path)) {
      return Invalid(what, fmt::format("expected plain file names in ascending order, got '{}'",
                                       Shorten(file.path)));
    }
    if (bytes < 0 || file.offset > payload_bytes || file.bytes > payload_bytes - file.offset) {
      return Invalid(what, fmt::format("'{}': expected a file within {} bytes, got {}",
                                       Shorten(file.path), payload_bytes, bytes));
    }
    end = file.offset + file.bytes;
    files.push_back(std::move(file));
  }
  if (end != payload_bytes) {
    return Invalid(what, fmt::format("expected files up to byte {}, got {}", payload_bytes, end));
  }
  return files;
}

}  // namespace unswift
