#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <optional>
#include <utility>

#include "unswift/base/check.h"
#include "unswift/io/json.h"
#include "unswift/io/safetensors.h"
#include "unswift/io/safetensors_dtype.h"
#include "unswift/io/text.h"
#include "unswift/tensor/packed.h"

namespace unswift {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;
constexpr size_t kAlignment = 8;
constexpr size_t kPieceBytes = size_t{4} << 20;

struct StoredForm {
  DType dtype;
  Shape shape;
  int64_t num_bytes;
};

auto SystemError(const std::filesystem::path& path, int error) {
  return MakeError(ErrorCode::kIo, "[write_safetensors] {}: {}", path.string(),
                   std::strerror(error));
}

/// What the header says of a tensor. Empty when the shape does not fit its dtype or overflows.
std::optional<StoredForm> StoredFormOf(const TensorSpec& spec) {
  StoredForm form = {spec.dtype, spec.shape, 0};
  if (IsQuantized(spec.dtype)) {
    if (form.shape.size() != 2 || form.shape[0] < 0 || form.shape[1] < 0) return {};
    form.shape = PackedShape(spec.dtype, form.shape[0], form.shape[1]);
    form.dtype = DType::kU8;
  }
  form.num_bytes = BlockBytes(form.dtype);
  for (int64_t dim : form.shape) {
    if (dim < 0 || __builtin_mul_overflow(form.num_bytes, dim, &form.num_bytes)) return {};
  }
  return form;
}

struct Header {
  std::string bytes;  // length, JSON, padding
  int64_t data_bytes = 0;
};

Result<Header> BuildHeader(const std::filesystem::path& path, const std::vector<TensorSpec>& specs,
                           const std::map<std::string, std::string>& metadata) {
  Header header;
  Json json = Json::object();
  if (!metadata.empty()) json["__metadata__"] = metadata;
  for (const TensorSpec& spec : specs) {
    const std::optional<StoredForm> form = StoredFormOf(spec);
    const int64_t begin = header.data_bytes;
    if (!form || __builtin_add_overflow(begin, form->num_bytes, &header.data_bytes)) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "[write_safetensors] {}: tensor '{}': expected a shape that fits {}, got {}",
                       path.string(), Shorten(spec.name), DTypeName(spec.dtype),
                       ShapeString(spec.shape));
    }
    if (spec.name == "__metadata__" || json.contains(spec.name)) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "[write_safetensors] {}: expected unique tensor names, got '{}' again",
                       path.string(), Shorten(spec.name));
    }
    json[spec.name] = {{"dtype", SafetensorsDTypeName(form->dtype)},
                       {"shape", form->shape},
                       {"data_offsets", {begin, header.data_bytes}}};
  }
  std::string text;
  try {
    text = json.dump();
  } catch (const std::exception& error) {  // a name that is not UTF-8
    return MakeError(ErrorCode::kInvalidArgument, "[write_safetensors] {}: {}", path.string(),
                     Shorten(error.what()));
  }
  text.append((kAlignment - text.size() % kAlignment) % kAlignment, ' ');
  if (text.size() > kMaxSafetensorsHeaderBytes) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "[write_safetensors] {}: expected a header of at most {} bytes, got {}",
                     path.string(), kMaxSafetensorsHeaderBytes, text.size());
  }
  const uint64_t length = text.size();
  header.bytes.assign(reinterpret_cast<const char*>(&length), sizeof(length));
  header.bytes += text;
  return header;
}

}  // namespace

Result<SafetensorsWriter> SafetensorsWriter::Create(
    const std::filesystem::path& path, const std::vector<TensorSpec>& specs,
    const std::map<std::string, std::string>& metadata) {
  UNSWIFT_ASSIGN_OR_RETURN(const Header header, BuildHeader(path, specs, metadata));
  SafetensorsWriter writer;
  writer.path_ = path;
  writer.expected_ = header.data_bytes;
  writer.file_.reset(std::fopen(path.c_str(), "wbe"));
  if (writer.file_ == nullptr) return SystemError(path, errno);
  writer.buffer_ = std::make_unique<char[]>(kBufferBytes);
  std::setvbuf(writer.file_.get(), writer.buffer_.get(), _IOFBF, kBufferBytes);
  if (std::fwrite(header.bytes.data(), 1, header.bytes.size(), writer.file_.get()) !=
      header.bytes.size()) {
    return SystemError(path, errno);
  }
  return writer;
}

Result<> SafetensorsWriter::CheckRoom(int64_t num_bytes) const {
  UNSWIFT_CHECK(file_ != nullptr);  // not after Finish()
  if (num_bytes <= expected_ - written_) return {};
  return MakeError(ErrorCode::kInvalidArgument,
                   "[write_safetensors] {}: expected {} more bytes of data, got {}", path_.string(),
                   expected_ - written_, num_bytes);
}

Result<> SafetensorsWriter::Append(std::span<const std::byte> bytes) {
  UNSWIFT_RETURN_IF_ERROR(CheckRoom(static_cast<int64_t>(bytes.size())));
  if (bytes.empty()) return {};
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size()) {
    return SystemError(path_, errno);
  }
  written_ += static_cast<int64_t>(bytes.size());
  return {};
}

Result<> SafetensorsWriter::WriteAt(int64_t offset, std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t count = pwrite(fileno(file_.get()), bytes.data(), bytes.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return SystemError(path_, errno);
    bytes = bytes.subspan(static_cast<size_t>(count));
    offset += count;
  }
  return {};
}

Result<> SafetensorsWriter::AppendPieces(const std::vector<DataPiece>& pieces, ThreadPool& pool,
                                         const std::function<void()>& beside) {
  std::vector<int64_t> offset(1, 0);
  size_t largest = 0;
  for (const DataPiece& piece : pieces) {
    offset.push_back(offset.back() + piece.size());
    if (piece.make) largest = std::max(largest, static_cast<size_t>(piece.num_bytes));
  }
  UNSWIFT_RETURN_IF_ERROR(CheckRoom(offset.back()));
  if (std::fflush(file_.get()) != 0) return SystemError(path_, errno);
  const int64_t begin = ftello(file_.get());
  if (begin < 0) return SystemError(path_, errno);

  std::vector<Result<>> status(pieces.size());
  std::vector<std::vector<std::byte>> buffers(pool.num_threads());
  const int64_t others = beside ? 1 : 0;  // first, as it may take longest
  pool.ParallelForDynamic(others + static_cast<int64_t>(pieces.size()), [&](int64_t i, int thread) {
    if (i < others) return beside();
    const DataPiece& piece = pieces[i - others];
    std::span<const std::byte> bytes = piece.bytes;
    if (piece.make) {
      buffers[thread].resize(largest);
      const std::span<std::byte> made = std::span(buffers[thread]).first(piece.num_bytes);
      status[i - others] = piece.make(made);
      if (!status[i - others]) return;
      bytes = made;
    }
    status[i - others] = WriteAt(begin + offset[i - others], bytes);
  });
  for (const Result<>& one : status) UNSWIFT_RETURN_IF_ERROR(one);
  if (fseeko(file_.get(), begin + offset.back(), SEEK_SET) != 0) return SystemError(path_, errno);
  written_ += offset.back();
  return {};
}

void AppendAsPieces(std::span<const std::byte> bytes, std::vector<DataPiece>& pieces) {
  for (size_t begin = 0; begin < bytes.size(); begin += kPieceBytes) {
    pieces.push_back({bytes.subspan(begin, std::min(kPieceBytes, bytes.size() - begin))});
  }
}

Result<> SafetensorsWriter::Finish() {
  UNSWIFT_CHECK(file_ != nullptr);
  const int flush_status = std::fflush(file_.get());
  const int flush_error = errno;
#ifdef SYNC_FILE_RANGE_WRITE
  // The disk starts now instead of at the fsync that ends the directory; a refusal costs only time.
  sync_file_range(fileno(file_.get()), 0, 0, SYNC_FILE_RANGE_WRITE);
#endif
  // The file is gone after fclose whatever it returns; a network file system may fail only here.
  const int close_status = std::fclose(file_.release());
  const int close_error = errno;
  if (flush_status != 0) return SystemError(path_, flush_error);
  if (close_status != 0) return SystemError(path_, close_error);
  if (written_ != expected_) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "[write_safetensors] {}: expected {} bytes of data, got {}", path_.string(),
                     expected_, written_);
  }
  return {};
}

}  // namespace unswift
