// What a sealed file holds: a table of files, then the files.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "unswift/base/result.h"

namespace unswift {

struct SealedFile {
  std::string path;  ///< a plain file name
  uint64_t bytes = 0;
  uint64_t offset = 0;  ///< in the payload, a multiple of kSealedAlignment
};

/// The table as the payload starts with it: 8 bytes little-endian length, then JSON. Sets the
/// offsets of `files`, which must be sorted by path.
std::string EncodeTable(std::vector<SealedFile>& files);

/// Bytes of the whole table, length included, told by its first 8 bytes.
inline constexpr uint64_t kTableLengthBytes = 8;
/// Errors: kInvalidData when the payload cannot hold it.
Result<uint64_t> TableBytes(std::span<const std::byte> start, uint64_t payload_bytes,
                            const std::string& what);

/// Errors: kInvalidData (a path that leaves the directory, a file twice, files that do not fill the
/// payload exactly), naming `what`.
Result<std::vector<SealedFile>> DecodeTable(std::span<const std::byte> table,
                                            uint64_t payload_bytes, const std::string& what);

}  // namespace unswift
