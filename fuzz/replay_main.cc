// Runs a fuzz target over the files of a folder, and over mutations of each: bit flips, cuts, and
// edits of bytes and lengths. The same every time. For builds without libFuzzer.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <vector>

#include "fuzz/input.h"
#include "unswift/base/mapped_file.h"
#include "unswift/base/random.h"

namespace {

constexpr int kMutations = 200;  // of each file

std::string Mutated(std::string bytes, unswift::Random& random) {
  const int edits = 1 + static_cast<int>(random.NextBelow(4));
  for (int i = 0; i < edits && !bytes.empty(); ++i) {
    const size_t at = random.NextBelow(bytes.size());
    switch (random.NextBelow(5)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ 1 << random.NextBelow(8));
        break;
      case 1:
        bytes.resize(at);
        break;
      case 2: {  // a number where a length may be
        const uint64_t number = random.NextU64() >> random.NextBelow(64);
        std::memcpy(&bytes[at], &number, std::min(sizeof(number), bytes.size() - at));
        break;
      }
      case 3:
        bytes.insert(at, bytes.substr(random.NextBelow(bytes.size()), random.NextBelow(64)));
        break;
      default:
        bytes.erase(at, random.NextBelow(32));
    }
  }
  return bytes;
}

void Run(const std::string& bytes) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::filesystem::path> files;
  for (int i = 1; i < argc; ++i) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(argv[i], error)) {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  if (files.empty()) {
    std::fprintf(stderr, "no seeds in the folders given\n");
    return 1;
  }
  unswift::Random random(1);
  for (const std::filesystem::path& file : files) {
    const std::string seed = unswift::ReadFile(file).value();
    Run(seed);
    for (int i = 0; i < kMutations; ++i) Run(Mutated(seed, random));
  }
  std::printf("%zu seeds, %d mutations of each\n", files.size(), kMutations);
  return 0;
}
