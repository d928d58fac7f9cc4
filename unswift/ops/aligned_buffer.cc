#include "unswift/ops/aligned_buffer.h"

#include <sys/mman.h>
#include <unistd.h>

#include <new>

#include "unswift/base/integers.h"

namespace unswift {
namespace {

constexpr int64_t kHugePage = int64_t{2} << 20;

void AskForHugePages(std::byte* data, int64_t bytes) {
#ifdef MADV_HUGEPAGE
  const int64_t page = sysconf(_SC_PAGESIZE);
  const auto address = reinterpret_cast<int64_t>(data);
  const int64_t skipped = RoundUp(address, page) - address;
  // A system that does not have them leaves things as they are.
  if (bytes > skipped) (void)madvise(data + skipped, bytes - skipped, MADV_HUGEPAGE);
#endif
}

}  // namespace

void AlignedBuffer::Grow(int64_t count) {
  data_.reset();  // before the new one exists: the peak is one buffer, not two
  size_ = 0;
  data_ = hwy::AllocateAligned<std::byte>(static_cast<size_t>(count));
  if (data_ == nullptr) throw std::bad_alloc();
  size_ = count;
  if (count >= 2 * kHugePage) AskForHugePages(data_.get(), count);
}

}  // namespace unswift
