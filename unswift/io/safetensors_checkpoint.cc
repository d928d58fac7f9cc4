#include <set>
#include <utility>

#include "unswift/base/check.h"
#include "unswift/io/json.h"
#include "unswift/io/safetensors.h"
#include "unswift/io/text.h"

namespace unswift {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingleName = "model.safetensors";
constexpr const char* kIndexName = "model.safetensors.index.json";

auto InvalidIndex(const fs::path& path, std::string_view why) {
  return MakeError(ErrorCode::kInvalidData, "[open_checkpoint] {}: {}", path.string(), why);
}

/// Tensor name -> shard name.
Result<std::map<std::string, std::string>> ReadIndex(const FileSet& model) {
  const fs::path path = model.PathOf(kIndexName);
  UNSWIFT_ASSIGN_OR_RETURN(const Json index, ReadJson(model, kIndexName));
  const auto weight_map = index.is_object() ? index.find("weight_map") : index.end();
  if (weight_map == index.end() || !weight_map->is_object()) {
    return InvalidIndex(path, "expected an object 'weight_map'");
  }
  std::map<std::string, std::string> shard_of;
  for (const auto& [tensor, shard] : weight_map->items()) {
    if (!shard.is_string() || !IsPlainFileName(shard.get_ref<const std::string&>())) {
      return InvalidIndex(path, fmt::format("tensor '{}': expected a file name, got {}",
                                            Shorten(tensor), Shorten(shard.dump())));
    }
    shard_of.emplace(tensor, shard.get<std::string>());
  }
  if (shard_of.empty()) return InvalidIndex(path, "expected tensors in 'weight_map', got none");
  return shard_of;
}

/// The shard holds what the index says, no less and no more.
Result<> CheckShard(const SafetensorsFile& file, const std::string& shard,
                    const std::map<std::string, std::string>& shard_of, const fs::path& index) {
  for (const auto& [tensor, listed] : shard_of) {
    if (listed == shard && !file.tensors().contains(tensor)) {
      return InvalidIndex(index, fmt::format("tensor '{}': expected in shard '{}', got no such "
                                             "tensor there",
                                             Shorten(tensor), shard));
    }
  }
  for (const auto& [tensor, view] : file.tensors()) {
    const auto listed = shard_of.find(tensor);
    if (listed == shard_of.end() || listed->second != shard) {
      return InvalidIndex(index,
                          fmt::format("tensor '{}' of shard '{}': expected it to be listed "
                                      "there, got {}",
                                      Shorten(tensor), shard,
                                      listed == shard_of.end() ? "no entry" : "another shard"));
    }
  }
  return {};
}

Result<SafetensorsFile> OpenShard(const FileSet& model, const std::string& name) {
  UNSWIFT_ASSIGN_OR_RETURN(MappedFile file, model.Open(name));
  return SafetensorsFile::FromFile(std::move(file), model.PathOf(name));
}

/// Older checkpoints are Python pickles, which run code when they are read.
tl::unexpected<Error> NothingToOpen(const FileSet& model) {
  std::string found = "neither";
  for (const char* pickle : {"pytorch_model.bin", "pytorch_model.bin.index.json"}) {
    if (model.Contains(pickle)) {
      found = fmt::format("{}; transformers' save_pretrained turns it into safetensors", pickle);
    }
  }
  return MakeError(ErrorCode::kNotFound, "[open_checkpoint] {}: expected {} or {}, got {}",
                   model.root().string(), kSingleName, kIndexName, found);
}

}  // namespace

Result<Checkpoint> Checkpoint::Open(const FileSet& model) {
  Checkpoint checkpoint;
  checkpoint.directory_ = model.root();
  if (model.Contains(kIndexName)) {
    UNSWIFT_ASSIGN_OR_RETURN(const auto shard_of, ReadIndex(model));
    std::set<std::string> shards;
    for (const auto& [tensor, shard] : shard_of) shards.insert(shard);
    for (const std::string& shard : shards) {
      UNSWIFT_ASSIGN_OR_RETURN(SafetensorsFile file, OpenShard(model, shard));
      UNSWIFT_RETURN_IF_ERROR(CheckShard(file, shard, shard_of, model.PathOf(kIndexName)));
      checkpoint.files_.push_back(std::move(file));
    }
  } else if (model.Contains(kSingleName)) {
    UNSWIFT_ASSIGN_OR_RETURN(SafetensorsFile file, OpenShard(model, kSingleName));
    checkpoint.files_.push_back(std::move(file));
  } else {
    return NothingToOpen(model);
  }
  for (size_t i = 0; i < checkpoint.files_.size(); ++i) {
    for (const auto& [name, view] : checkpoint.files_[i].tensors()) {
      checkpoint.tensors_.emplace(name, view);
      checkpoint.file_of_.emplace(name, i);
    }
  }
  return checkpoint;
}

const TensorView* Checkpoint::Find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

Result<TensorView> Checkpoint::Get(const std::string& name) const {
  if (const TensorView* view = Find(name)) return *view;
  return MakeError(ErrorCode::kNotFound, "[get_tensor] {}: expected a tensor '{}', got none",
                   directory_.string(), name);
}

const SafetensorsFile& Checkpoint::FileOf(const std::string& name) const {
  const auto found = file_of_.find(name);
  UNSWIFT_CHECK(found != file_of_.end());
  return files_[found->second];
}

void Checkpoint::Release(const std::string& name) const {
  const TensorView* view = Find(name);
  UNSWIFT_CHECK(view != nullptr);
  const MappedFile& file = FileOf(name).file();
  file.Release(view->data - file.bytes().data(), view->num_bytes);
}

}  // namespace unswift
