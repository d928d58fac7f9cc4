#include "unswift/provenance/seal.h"

#include <sodium.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <set>

#include "unswift/base/atomic_directory.h"
#include "unswift/base/check.h"
#include "unswift/base/digest.h"
#include "unswift/provenance/encoding.h"
#include "unswift/provenance/sealed_payload.h"

namespace unswift {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxRecipients = 1000;
constexpr uint64_t kChunksPerThread = 4;

/// The payload, without copying the files: pieces at their offsets, zeros between them.
class Payload {
 public:
  static Result<Payload> Open(const FileSet& model) {
    Payload payload;
    UNSWIFT_ASSIGN_OR_RETURN(const std::vector<std::string> names, model.Names());
    for (const std::string& name : names) {
      UNSWIFT_ASSIGN_OR_RETURN(MappedFile file, model.Open(name));
      payload.files_.push_back({name, file.bytes().size()});
      payload.maps_.push_back(std::move(file));
    }
    payload.table_ = EncodeTable(payload.files_);
    return payload;
  }

  uint64_t num_files() const { return files_.size(); }
  uint64_t bytes() const {
    return files_.empty() ? table_.size() : files_.back().offset + files_.back().bytes;
  }

  /// Copies the payload's bytes from `begin` on; what lies between files is zero.
  void Read(uint64_t begin, std::span<std::byte> out) const {
    std::fill(out.begin(), out.end(), std::byte{0});
    CopyPart(AsBytes(table_), 0, begin, out);
    // The last file that starts at or before `begin` is the first that can matter.
    auto file = std::upper_bound(files_.begin(), files_.end(), begin,
                                 [](uint64_t at, const SealedFile& f) { return at < f.offset; });
    if (file != files_.begin()) --file;
    for (; file != files_.end() && file->offset < begin + out.size(); ++file) {
      CopyPart(maps_[file - files_.begin()].bytes(), file->offset, begin, out);
    }
  }

 private:
  static void CopyPart(std::span<const std::byte> piece, uint64_t offset, uint64_t begin,
                       std::span<std::byte> out) {
    const uint64_t from = std::max(offset, begin);
    const uint64_t to = std::min(offset + piece.size(), begin + out.size());
    if (from < to)
      std::memcpy(out.data() + (from - begin), piece.data() + (from - offset), to - from);
  }

  std::string table_;
  std::vector<SealedFile> files_;
  std::vector<MappedFile> maps_;
};

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

auto WriteError(const fs::path& path) {
  return MakeError(ErrorCode::kIo, "[seal] {}: {}", path.string(), std::strerror(errno));
}

Result<> WriteSealed(const Payload& payload, const std::string& head, const SealedHeader& header,
                     const ChunkCipher& cipher, const fs::path& path, ThreadPool& pool,
                     const ProgressFn& progress) {
  const std::unique_ptr<std::FILE, FileCloser> file(std::fopen(path.c_str(), "wbe"));
  if (file == nullptr) return WriteError(path);
  std::setvbuf(file.get(), nullptr, _IONBF, 0);
  if (std::fwrite(head.data(), 1, head.size(), file.get()) != head.size()) return WriteError(path);

  const uint64_t chunks = header.num_chunks();
  const uint64_t batch = std::min<uint64_t>(chunks, kChunksPerThread * pool.num_threads());
  const uint64_t stride = header.chunk_bytes + kSealTagBytes;
  UNSWIFT_ASSIGN_OR_RETURN(const SecretMemory plain,
                           SecretMemory::Allocate(batch * header.chunk_bytes));
  std::vector<std::byte> sealed(batch * stride);
  for (uint64_t first = 0; first < chunks; first += batch) {
    const uint64_t count = std::min(batch, chunks - first);
    pool.ParallelForDynamic(static_cast<int64_t>(count), [&](int64_t i, int) {
      const uint64_t chunk = first + i;
      const std::span<std::byte> bytes = plain.bytes().subspan(
          i * header.chunk_bytes, header.chunk_end(chunk) - header.chunk_begin(chunk));
      payload.Read(header.chunk_begin(chunk), bytes);
      cipher.Encrypt(chunk, bytes, sealed.data() + i * stride);
    });
    // All chunks but the file's last one have the full length, so the batch lies without gaps.
    const uint64_t size =
        header.chunk_end(first + count - 1) - header.chunk_begin(first) + count * kSealTagBytes;
    if (std::fwrite(sealed.data(), 1, size, file.get()) != size) return WriteError(path);
    Report(progress, "seal", static_cast<double>(first + count) / static_cast<double>(chunks));
  }
  return {};
}

Result<> CheckRecipients(const std::vector<PublicKey>& recipients) {
  if (recipients.empty() || recipients.size() > kMaxRecipients) {
    return MakeError(ErrorCode::kInvalidArgument, "[seal] expected 1 to {} recipients, got {}",
                     kMaxRecipients, recipients.size());
  }
  std::set<std::string> ids;
  for (const PublicKey& recipient : recipients) {
    if (!ids.insert(recipient.id()).second) {
      return MakeError(ErrorCode::kInvalidArgument, "[seal] key {}: given twice", recipient.id());
    }
  }
  return {};
}

}  // namespace

Result<SealReport> Seal(const FileSet& model, const std::vector<PublicKey>& recipients,
                        const SealOptions& options, const fs::path& target, ThreadPool& pool,
                        const ProgressFn& progress) {
  UNSWIFT_CHECK(std::has_single_bit(options.chunk_bytes) && options.chunk_bytes >= kMinChunkBytes &&
                options.chunk_bytes <= kMaxChunkBytes);
  UNSWIFT_CHECK(sodium_init() >= 0);
  UNSWIFT_RETURN_IF_ERROR(CheckRecipients(recipients));
  UNSWIFT_ASSIGN_OR_RETURN(const Payload payload, Payload::Open(model));
  UNSWIFT_ASSIGN_OR_RETURN(SecretMemory key, SecretMemory::Allocate(kSealKeyBytes));
  randombytes_buf(key.data(), key.size());
  SealedHeader header;
  header.cipher = options.cipher;
  header.chunk_bytes = options.chunk_bytes;
  header.payload_bytes = payload.bytes();
  for (const PublicKey& recipient : recipients) {
    UNSWIFT_ASSIGN_OR_RETURN(SealedRecipient wrapped, WrapKey(key, recipient));
    header.recipients.push_back(std::move(wrapped));
  }
  const std::string head = EncodeHeader(header);
  const ChunkCipher cipher(header.cipher, std::move(key),
                           BytesOfSha256Hex(Sha256Hex(AsBytes(head))));
  UNSWIFT_RETURN_IF_ERROR(WriteAside(target, options.replace, [&](const fs::path& partial) {
    return WriteSealed(payload, head, header, cipher, partial, pool, progress);
  }));
  return SealReport{payload.num_files(), payload.bytes(),
                    head.size() + payload.bytes() + header.num_chunks() * kSealTagBytes};
}

}  // namespace unswift
