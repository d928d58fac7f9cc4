// The index of a checkpoint in two shards; after a null byte, what stands in the place of the
// second.
#include "fuzz/input.h"
#include "unswift/io/safetensors.h"

using namespace unswift;

namespace {

/// Bytes of safetensors: one float32 under each name.
std::string Shard(const std::vector<std::string>& names) {
  std::string header = "{";
  for (size_t i = 0; i < names.size(); ++i) {
    header += (i == 0 ? "\"" : ",\"") + names[i] +
              R"(":{"dtype":"F32","shape":[1],"data_offsets":[)" + std::to_string(4 * i) + "," +
              std::to_string(4 * i + 4) + "]}";
  }
  header += "}";
  header.append(8 - header.size() % 8, ' ');
  std::string bytes(8, '\0');
  bytes[0] = static_cast<char>(header.size());
  UNSWIFT_CHECK(header.size() < 256);
  return bytes + header + std::string(4 * names.size(), '\1');
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string first = Shard({"a", "b"}), second = Shard({"c"});
  const std::string_view input = AsText(data, size);
  const size_t end = input.find('\0');
  const std::string_view index = input.substr(0, end);
  const std::string_view shard =
      end == input.npos ? std::string_view(second) : input.substr(end + 1);
  const FileSet model("fuzz",
                      {{"model.safetensors.index.json", std::as_bytes(std::span(index))},
                       {"1.safetensors", std::as_bytes(std::span(first))},
                       {"2.safetensors", std::as_bytes(std::span(shard))}},
                      nullptr);
  const Result<Checkpoint> checkpoint = Checkpoint::Open(model);
  if (!checkpoint) return 0;
  for (const auto& [name, view] : checkpoint->tensors()) {
    const SafetensorsFile& file = checkpoint->FileOf(name);
    UNSWIFT_CHECK(file.tensors().contains(name) && checkpoint->Get(name).has_value());
    UNSWIFT_CHECK(view.num_bytes <= file.file().bytes().size());
  }
  return 0;
}
