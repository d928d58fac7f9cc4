#include "unswift/series/normal_equations.h"

#include <algorithm>

#include "unswift/base/check.h"
#include "unswift/base/integers.h"
#include "unswift/series/derivatives.h"
#include "unswift/series/least_squares_kernel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unswift/series/normal_equations.cc"
#include "hwy/foreach_target.h"
#include "unswift/series/normal_equations-inl.h"

#if HWY_ONCE
namespace unswift {
HWY_EXPORT(SolveNormalProblem);

bool NormalEquations::Solve(const SampleRows& rows, int order) {
  UNSWIFT_CHECK(order >= 0 && order <= kMaxSeriesOrder);
  NormalProblem p;
  p.max_order = order;
  p.rows = RoundUp(static_cast<int64_t>(rows.size()), kRowGrain);
  constexpr int kInputs = 5;  // three of the rows, two of scratch
  double* const position = GetDoubles(memory_, kInputs * p.rows + (order + 1) * p.stride());
  double* const alpha = position + p.rows;
  double* const rhs = alpha + p.rows;
  int64_t inside = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows.beta[i] != 0.0) {
      if (p.num_ends == kMaxEndRows) return false;
      p.ends[p.num_ends++] = {rows.position[i], rows.alpha[i], rows.beta[i], rows.rhs[i]};
      continue;
    }
    position[inside] = rows.position[i];
    alpha[inside] = rows.alpha[i];
    rhs[inside++] = rows.rhs[i];
  }
  for (double* const array : {position, alpha, rhs}) std::fill(array + inside, array + p.rows, 0.0);
  p.position = position;
  p.alpha = alpha;
  p.rhs = rhs;
  p.scratch = rhs + p.rows;
  p.matrix = p.scratch + 2 * p.rows;
  residual_.resize(order + 1);
  p.residual = residual_.data();
  return HWY_DYNAMIC_DISPATCH(SolveNormalProblem)(p);
}

}  // namespace unswift
#endif  // HWY_ONCE
