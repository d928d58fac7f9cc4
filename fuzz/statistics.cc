// A file of calibration statistics; what is accepted is written and read again.
#include "unswift/model/statistics_file.h"

#include "fuzz/input.h"

using namespace unswift;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const MemoryFile file(data, size);
  const Result<ModelStatistics> statistics = ReadStatistics(file.path());
  if (!statistics) return 0;
  static const ScratchFile written("statistics");
  UNSWIFT_CHECK(WriteStatistics(*statistics, written.path(), /*replace=*/true).has_value());
  const Result<ModelStatistics> again = ReadStatistics(written.path());
  UNSWIFT_CHECK(again && again->layers.size() == statistics->layers.size() &&
                again->num_tokens == statistics->num_tokens);
  return 0;
}
