#include "unswift/ops/bandwidth.h"

#include "tests/ops/kernel_test.h"

namespace unswift {
namespace {

class BandwidthTest : public EveryTarget {};
UNSWIFT_INSTANTIATE_FOR_EVERY_TARGET(BandwidthTest);

// No clock is tested: only that any size works and the figure is one.
TEST_P(BandwidthTest, AnySize) {
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    for (const int64_t bytes : {0, 1, 100000, 1 << 20}) {
      const double rate = MeasureReadBandwidth(bytes, 2, pool);
      EXPECT_TRUE(std::isfinite(rate) && rate > 0.0) << bytes;
    }
  }
}

}  // namespace
}  // namespace unswift
