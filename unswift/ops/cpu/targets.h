// Which instruction sets the kernels are compiled for, and which one runs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace unswift {

/// Highway target bits that are compiled in and that this CPU supports, best first. Ends a
/// ForceKernelTarget().
std::vector<int64_t> KernelTargets();
/// "AVX3", "AVX2", "NEON", "SCALAR", ...
std::string KernelTargetName(int64_t target);
/// The target that kernel calls run on now, and how many float32 lanes its vectors have.
int64_t CurrentKernelTarget();
int64_t CurrentKernelLanes();
/// Makes every later kernel call run on this target; 0 returns to the best one. For tests; not to
/// be called while kernels run.
void ForceKernelTarget(int64_t target);

}  // namespace unswift
