// A safetensors file: opened, every tensor's bytes touched at both ends.
#include "unswift/io/safetensors.h"

#include "fuzz/input.h"

using namespace unswift;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const MemoryFile file(data, size);
  const Result<SafetensorsFile> opened = SafetensorsFile::Open(file.path());
  if (!opened) return 0;
  volatile std::byte sink{};
  for (const auto& [name, view] : opened->tensors()) {
    if (view.num_bytes == 0) continue;
    sink = view.data[0];
    sink = view.data[view.num_bytes - 1];
  }
  (void)sink;
  return 0;
}
