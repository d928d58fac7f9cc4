// encode_text DIRECTORY FILE [REPETITIONS]: encodes a text with DIRECTORY/tokenizer.json on one
// thread. Prints the CPU seconds of each repetition, the most bytes of memory it held, and then the
// ids, one per line, for comparison with another library (scripts/measure_tokenizer).
#include <fmt/core.h>
#include <time.h>

#include <cstdlib>
#include <string>

#include "unswift/base/mapped_file.h"
#include "unswift/base/memory_usage.h"
#include "unswift/tokenizer/tokenizer.h"

namespace {

double CpuSeconds() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

unswift::Result<> Run(const char* directory, const char* file, int repetitions) {
  UNSWIFT_ASSIGN_OR_RETURN(const unswift::Tokenizer tokenizer, unswift::Tokenizer::Open(directory));
  UNSWIFT_ASSIGN_OR_RETURN(const std::string text, unswift::ReadFile(file));
  std::vector<int32_t> ids;
  for (int i = 0; i < repetitions; ++i) {
    const double begin = CpuSeconds();
    UNSWIFT_ASSIGN_OR_RETURN(ids, tokenizer.Encode(text, /*add_special_tokens=*/false));
    fmt::print("seconds {:.6f}\n", CpuSeconds() - begin);
  }
  fmt::print("peak {}\n", unswift::PeakResidentBytes());
  for (const int32_t id : ids) fmt::print("{}\n", id);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    fmt::print(stderr, "usage: encode_text DIRECTORY FILE [REPETITIONS]\n");
    return 2;
  }
  const auto done = Run(argv[1], argv[2], argc > 3 ? std::atoi(argv[3]) : 3);
  if (!done) fmt::print(stderr, "{}\n", done.error().message);
  return done ? 0 : 2;
}
