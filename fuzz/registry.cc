// A registry of recipients: what is accepted is written and read again.
#include "unswift/marks/registry.h"

#include "fuzz/input.h"

using namespace unswift;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const MemoryFile file(data, size);
  const Result<Registry> registry = Registry::Read(file.path());
  if (!registry) return 0;
  static const ScratchFile written("registry");
  UNSWIFT_CHECK(registry->Write(written.path()).has_value());
  const Result<Registry> again = Registry::Read(written.path());
  UNSWIFT_CHECK(again && again->size() == registry->size());
  for (size_t i = 0; i < again->size(); ++i) UNSWIFT_CHECK(again->name(i) == registry->name(i));
  return 0;
}
