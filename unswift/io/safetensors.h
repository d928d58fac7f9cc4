// safetensors files: read by mmap with every check of the format, written in a stream.
//
// Format: 8 bytes little-endian header length, JSON header {name: {dtype, shape, data_offsets}},
// data. Source: https://github.com/huggingface/safetensors (README, "Format").
#pragma once

#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "unswift/base/file_set.h"
#include "unswift/base/mapped_file.h"
#include "unswift/base/result.h"
#include "unswift/base/thread_pool.h"
#include "unswift/tensor/tensor_view.h"

namespace unswift {

inline constexpr size_t kMaxSafetensorsHeaderBytes = 100'000'000;

/// One open file. Views point into the mapping and live as long as the object. The format does not
/// align tensors: read them with memcpy or unaligned loads.
class SafetensorsFile {
 public:
  /// Checks: header length within the file and the limit, JSON object, known dtypes, non-negative
  /// shapes without overflow, offsets in order, inside the buffer, no overlap and no hole, byte
  /// counts equal to dtype x shape, unique names. Errors: kInvalidData naming file and tensor; kIo;
  /// kNotFound.
  static Result<SafetensorsFile> Open(const std::filesystem::path& path);
  /// The same of a file that is open; `path` names it in messages.
  static Result<SafetensorsFile> FromFile(MappedFile file, const std::filesystem::path& path);

  const std::map<std::string, TensorView>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::filesystem::path& path() const { return path_; }
  const MappedFile& file() const { return file_; }

 private:
  std::filesystem::path path_;
  MappedFile file_;
  std::map<std::string, TensorView> tensors_;
  std::map<std::string, std::string> metadata_;
};

/// All tensors of a model: model.safetensors, or the shards that
/// model.safetensors.index.json names (each listed tensor must be where the index says, each tensor
/// in a shard must be listed, and no shard name may leave the directory).
class Checkpoint {
 public:
  static Result<Checkpoint> Open(const FileSet& model);

  /// Null when absent.
  const TensorView* Find(const std::string& name) const;
  /// Errors: kNotFound naming the directory and the tensor.
  Result<TensorView> Get(const std::string& name) const;
  const std::map<std::string, TensorView>& tensors() const { return tensors_; }
  const std::vector<SafetensorsFile>& files() const { return files_; }
  /// The file that holds a tensor of this checkpoint.
  const SafetensorsFile& FileOf(const std::string& name) const;
  /// Drops the tensor's pages from this process (they stay in the page cache).
  void Release(const std::string& name) const;

 private:
  std::filesystem::path directory_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, TensorView> tensors_;
  std::map<std::string, size_t> file_of_;
};

struct TensorSpec {
  std::string name;
  DType dtype;
  Shape shape;
};

/// A run of a file's data: bytes that lie in memory, or bytes that `make` puts into the span of
/// num_bytes that it is given (from any thread, beside other pieces).
struct DataPiece {
  std::span<const std::byte> bytes = {};
  int64_t num_bytes = 0;
  std::function<Result<>(std::span<std::byte>)> make = {};

  int64_t size() const { return make ? num_bytes : static_cast<int64_t>(bytes.size()); }
};

/// Appends pieces of a few megabytes that together are `bytes`, which must outlive them.
void AppendAsPieces(std::span<const std::byte> bytes, std::vector<DataPiece>& pieces);

/// Writes one file: the header from the specs, then each tensor's bytes in the order of the specs,
/// in as many pieces as the caller likes. Quantised matrices [rows, cols] are stored packed, as
/// "U8" of PackedShape (tensor/packed.h).
class SafetensorsWriter {
 public:
  static Result<SafetensorsWriter> Create(const std::filesystem::path& path,
                                          const std::vector<TensorSpec>& specs,
                                          const std::map<std::string, std::string>& metadata = {});
  SafetensorsWriter(SafetensorsWriter&&) noexcept = default;

  /// Appends the next bytes of the current tensor; a full one moves on to the next spec.
  Result<> Append(std::span<const std::byte> bytes);
  /// Appends all pieces in their order; every thread makes and writes some of them. `beside` is
  /// work for one thread meanwhile, or empty. Errors: the first piece's that failed. Cost in
  /// memory: per thread the largest piece that is made.
  Result<> AppendPieces(const std::vector<DataPiece>& pieces, ThreadPool& pool,
                        const std::function<void()>& beside = {});
  /// Fails when bytes are missing; closes the file. Errors: kIo with the system's reason.
  Result<> Finish();
  /// Of tensor data, without the header.
  int64_t bytes_written() const { return written_; }

 private:
  SafetensorsWriter() = default;
  Result<> CheckRoom(int64_t num_bytes) const;
  Result<> WriteAt(int64_t offset, std::span<const std::byte> bytes) const;
  struct Closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::filesystem::path path_;
  std::unique_ptr<char[]> buffer_;  // of file_, hence before it
  std::unique_ptr<std::FILE, Closer> file_;
  int64_t written_ = 0;
  int64_t expected_ = 0;
};

}  // namespace unswift
