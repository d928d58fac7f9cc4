// What a sealed file tells before any key: its header. The bytes behind the header stand for the
// opened payload's table of files.
#include "unswift/provenance/sealed_header.h"

#include "fuzz/input.h"
#include "unswift/provenance/sealed_payload.h"

using namespace unswift;

namespace {

void TryTable(std::span<const std::byte> payload) {
  const Result<uint64_t> bytes = TableBytes(payload, payload.size(), "fuzz");
  if (!bytes) return;
  Result<std::vector<SealedFile>> files =
      DecodeTable(payload.first(*bytes), payload.size(), "fuzz");
  if (!files) return;
  for (const SealedFile& file : *files) {
    UNSWIFT_CHECK(file.offset % kSealedAlignment == 0 && file.offset <= payload.size() &&
                  file.bytes <= payload.size() - file.offset);
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  const Result<StoredHeader> stored = DecodeHeader(file, "fuzz");
  if (!stored) {
    TryTable(file);
    return 0;
  }
  UNSWIFT_CHECK(stored->bytes <= size && stored->header.num_chunks() > 0);
  const uint64_t last = stored->header.num_chunks() - 1;
  UNSWIFT_CHECK(stored->header.chunk_begin(last) < stored->header.chunk_end(last));
  TryTable(file.subspan(stored->bytes));
  return 0;
}
