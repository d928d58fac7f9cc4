#include "unswift/ops/cpu/gemm.h"

#include <oneapi/dnnl/dnnl.h>

#include "unswift/base/check.h"

// The OpenMP runtime that oneDNN uses; declared here because clang ships omp.h in a package of its
// own. Both act on the calling thread only.
extern "C" {
int omp_get_max_threads(void);
void omp_set_num_threads(int num_threads);
}

namespace unswift {
namespace {

/// Keeps OpenMP from starting threads below this frame: the pool's threads are the parallelism, and
/// the sums must not depend on how oneDNN would split them.
class SingleOpenMpThread {
 public:
  SingleOpenMpThread() : previous_(omp_get_max_threads()) {
    if (previous_ != 1) omp_set_num_threads(1);
  }
  ~SingleOpenMpThread() {
    if (previous_ != 1) omp_set_num_threads(previous_);
  }

 private:
  int previous_;
};

}  // namespace

void GemmOnThisThread(int64_t m, int64_t n, int64_t k, const float* x, int64_t x_stride,
                      const float* b, int64_t b_stride, bool accumulate, float* y,
                      int64_t y_stride) {
  const SingleOpenMpThread single;
  const dnnl_status_t status = dnnl_sgemm('N', 'T', m, n, k, 1.0f, x, x_stride, b, b_stride,
                                          accumulate ? 1.0f : 0.0f, y, y_stride);
  UNSWIFT_CHECK(status == dnnl_success);
}

}  // namespace unswift
