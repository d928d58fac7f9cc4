#include "unswift/provenance/unseal.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "unswift/base/atomic_directory.h"
#include "unswift/provenance/sealed_header.h"
#include "unswift/provenance/sealed_payload.h"

namespace unswift {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kChunksPerThread = 4;

/// A sealed file whose key is known.
class SealedReader {
 public:
  static Result<SealedReader> Open(const fs::path& path, const PrivateKey& key) {
    UNSWIFT_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
    UNSWIFT_ASSIGN_OR_RETURN(StoredHeader stored, DecodeHeader(file.bytes(), path.string()));
    UNSWIFT_ASSIGN_OR_RETURN(SecretMemory file_key, UnwrapKey(stored.header, key, path.string()));
    ChunkCipher cipher(stored.header.cipher, std::move(file_key), std::move(stored.digest));
    return SealedReader(path, std::move(file), std::move(stored), std::move(cipher));
  }

  const SealedHeader& header() const { return stored_.header; }
  std::string name() const { return path_.string(); }

  /// Decrypts the chunks [first, first + count) to `out`, one behind the other.
  Result<> Decrypt(uint64_t first, uint64_t count, std::byte* out, ThreadPool& pool) const {
    constexpr uint64_t kNone = UINT64_MAX;
    std::atomic<uint64_t> bad = kNone;
    pool.ParallelForDynamic(static_cast<int64_t>(count), [&](int64_t i, int) {
      const uint64_t chunk = first + i;
      if (!cipher_.Decrypt(chunk, Sealed(chunk), out + i * header().chunk_bytes)) bad = chunk;
    });
    if (bad == kNone) return {};
    return MakeError(ErrorCode::kInvalidData,
                     "[open_sealed] {}: chunk {} of {}: not what was sealed (changed, moved or "
                     "damaged)",
                     name(), bad + 1, header().num_chunks());
  }

  /// Lets the pages of chunks that were read go.
  void Release(uint64_t first, uint64_t count) const {
    file_.Release(Offset(first), Offset(first + count) - Offset(first));
  }

 private:
  SealedReader(fs::path path, MappedFile file, StoredHeader stored, ChunkCipher cipher)
      : path_(std::move(path)),
        file_(std::move(file)),
        stored_(std::move(stored)),
        cipher_(std::move(cipher)) {}

  uint64_t Offset(uint64_t chunk) const {
    return stored_.bytes + chunk * (header().chunk_bytes + kSealTagBytes);
  }
  std::span<const std::byte> Sealed(uint64_t chunk) const {
    const uint64_t plain = header().chunk_end(chunk) - header().chunk_begin(chunk);
    return file_.bytes().subspan(Offset(chunk), plain + kSealTagBytes);
  }

  fs::path path_;
  MappedFile file_;
  StoredHeader stored_;
  ChunkCipher cipher_;
};

/// Reads the table of files, from as many chunks as it fills.
Result<std::vector<SealedFile>> ReadTable(const SealedReader& reader, ThreadPool& pool) {
  const SealedHeader& header = reader.header();
  const auto read = [&](uint64_t bytes) -> Result<SecretMemory> {
    const uint64_t chunks = (bytes + header.chunk_bytes - 1) / header.chunk_bytes;
    UNSWIFT_ASSIGN_OR_RETURN(SecretMemory memory,
                             SecretMemory::Allocate(chunks * header.chunk_bytes));
    UNSWIFT_RETURN_IF_ERROR(reader.Decrypt(0, chunks, memory.data(), pool));
    return memory;
  };
  if (header.payload_bytes < kTableLengthBytes) {
    return MakeError(ErrorCode::kInvalidData, "[open_sealed] {}: expected a table of files",
                     reader.name());
  }
  UNSWIFT_ASSIGN_OR_RETURN(const SecretMemory start, read(kTableLengthBytes));
  UNSWIFT_ASSIGN_OR_RETURN(const uint64_t bytes, TableBytes(start.bytes().first(kTableLengthBytes),
                                                            header.payload_bytes, reader.name()));
  UNSWIFT_ASSIGN_OR_RETURN(const SecretMemory table, read(bytes));
  return DecodeTable(table.bytes().first(bytes), header.payload_bytes, reader.name());
}

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

/// Takes the payload from its start on and writes the files of its table.
class FilesWriter {
 public:
  FilesWriter(const fs::path& directory, const std::vector<SealedFile>& files)
      : directory_(directory), files_(files) {}

  /// The next bytes of the payload.
  Result<> Append(std::span<const std::byte> bytes) {
    const uint64_t begin = position_;
    position_ += bytes.size();
    for (; next_ < files_.size() && files_[next_].offset < position_; ++next_) {
      const SealedFile& file = files_[next_];
      const uint64_t from = std::max(file.offset, begin);
      const uint64_t to = std::min(file.offset + file.bytes, position_);
      UNSWIFT_RETURN_IF_ERROR(Write(file, bytes.subspan(from - begin, to - from)));
      if (to < file.offset + file.bytes) return {};
      file_.reset();
    }
    return {};
  }

  /// Files without bytes at the very end start where the payload ends.
  Result<> Finish() {
    for (; next_ < files_.size(); ++next_) {
      UNSWIFT_RETURN_IF_ERROR(Write(files_[next_], {}));
      file_.reset();
    }
    return {};
  }

 private:
  Result<> Write(const SealedFile& file, std::span<const std::byte> bytes) {
    const fs::path path = directory_ / file.path;
    if (file_ == nullptr) {
      file_.reset(std::fopen(path.c_str(), "wbe"));
      if (file_ != nullptr) std::setvbuf(file_.get(), nullptr, _IONBF, 0);
    }
    // An empty file has no bytes to point at, and fwrite takes no null.
    const bool written =
        file_ != nullptr &&
        (bytes.empty() || std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) == bytes.size());
    if (!written) {
      return MakeError(ErrorCode::kIo, "[unseal] {}: {}", path.string(), std::strerror(errno));
    }
    return {};
  }

  const fs::path& directory_;
  const std::vector<SealedFile>& files_;
  std::unique_ptr<std::FILE, FileCloser> file_;
  size_t next_ = 0;
  uint64_t position_ = 0;
};

Result<> WriteFiles(const SealedReader& reader, const std::vector<SealedFile>& files,
                    const fs::path& directory, ThreadPool& pool, const ProgressFn& progress) {
  const SealedHeader& header = reader.header();
  const uint64_t chunks = header.num_chunks();
  const uint64_t batch = std::min<uint64_t>(chunks, kChunksPerThread * pool.num_threads());
  UNSWIFT_ASSIGN_OR_RETURN(const SecretMemory plain,
                           SecretMemory::Allocate(batch * header.chunk_bytes));
  FilesWriter writer(directory, files);
  for (uint64_t first = 0; first < chunks; first += batch) {
    const uint64_t count = std::min(batch, chunks - first);
    UNSWIFT_RETURN_IF_ERROR(reader.Decrypt(first, count, plain.data(), pool));
    reader.Release(first, count);
    UNSWIFT_RETURN_IF_ERROR(writer.Append(
        plain.bytes().first(header.chunk_end(first + count - 1) - header.chunk_begin(first))));
    Report(progress, "unseal", static_cast<double>(first + count) / static_cast<double>(chunks));
  }
  return writer.Finish();
}

}  // namespace

bool IsSealedFile(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return false;
  const Result<MappedFile> file = MappedFile::Open(path);
  return file && IsSealed(file->bytes());
}

Result<UnsealedFiles> UnsealToMemory(const fs::path& path, const PrivateKey& key, ThreadPool& pool,
                                     const ProgressFn& progress) {
  UNSWIFT_ASSIGN_OR_RETURN(const SealedReader reader, SealedReader::Open(path, key));
  const SealedHeader& header = reader.header();
  UNSWIFT_ASSIGN_OR_RETURN(SecretMemory allocated, SecretMemory::Allocate(header.payload_bytes));
  const auto memory = std::make_shared<const SecretMemory>(std::move(allocated));
  const uint64_t chunks = header.num_chunks();
  const uint64_t batch = 16 * kChunksPerThread * pool.num_threads();
  for (uint64_t first = 0; first < chunks; first += batch) {
    const uint64_t count = std::min(batch, chunks - first);
    UNSWIFT_RETURN_IF_ERROR(
        reader.Decrypt(first, count, memory->data() + header.chunk_begin(first), pool));
    reader.Release(first, count);
    Report(progress, "unseal", static_cast<double>(first + count) / static_cast<double>(chunks));
  }
  UNSWIFT_ASSIGN_OR_RETURN(const uint64_t table_bytes,
                           TableBytes(memory->bytes(), header.payload_bytes, path.string()));
  UNSWIFT_ASSIGN_OR_RETURN(
      const std::vector<SealedFile> files,
      DecodeTable(memory->bytes().first(table_bytes), header.payload_bytes, path.string()));
  FileSet::Memory views;
  for (const SealedFile& file : files) {
    views.emplace(file.path, memory->bytes().subspan(file.offset, file.bytes));
  }
  return UnsealedFiles{FileSet(path, std::move(views), memory), memory->locked()};
}

Result<UnsealReport> UnsealToDirectory(const fs::path& path, const PrivateKey& key,
                                       const fs::path& target, bool replace, ThreadPool& pool,
                                       const ProgressFn& progress) {
  UNSWIFT_ASSIGN_OR_RETURN(const SealedReader reader, SealedReader::Open(path, key));
  UNSWIFT_ASSIGN_OR_RETURN(const std::vector<SealedFile> files, ReadTable(reader, pool));
  UNSWIFT_ASSIGN_OR_RETURN(AtomicDirectory directory, AtomicDirectory::Create(target, replace));
  UNSWIFT_RETURN_IF_ERROR(WriteFiles(reader, files, directory.path(), pool, progress));
  UNSWIFT_RETURN_IF_ERROR(directory.Commit());
  return UnsealReport{files.size(), reader.header().payload_bytes};
}

}  // namespace unswift
