// A GGUF file: opened, its values read in every type, its tensors widened, its tokenizer rebuilt.
#include "unswift/io/gguf.h"
#include "unswift/io/json.h"

#include <algorithm>

#include "fuzz/input.h"
#include "unswift/io/gguf_tokenizer.h"

using namespace unswift;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const MemoryFile memory(data, size);
  const Result<GgufFile> file = GgufFile::Open(memory.path());
  if (!file) return 0;
  for (const auto& [key, value] : file->metadata()) {
    (void)file->Get<bool>(key);
    (void)file->Get<int64_t>(key);
    (void)file->Get<double>(key);
    (void)file->Get<std::string>(key);
    (void)file->GetArray<int64_t>(key);
    (void)file->GetArray<double>(key);
    (void)file->GetArray<std::string_view>(key);
  }
  std::vector<float> row;
  for (const auto& [name, tensor] : file->tensors()) {
    if (tensor.row_elements() > int64_t{1} << 20) continue;
    row.resize(tensor.row_elements());
    (void)file->DequantizeRows(tensor, 0, row);
    (void)file->DequantizeRows(tensor, tensor.num_rows() - 1, row);
  }
  (void)TokenizerJsonFromGguf(*file);
  (void)TokenizerConfigFromGguf(*file, 128);
  return 0;
}
