// Both attention kernels. Compiled once per Highway target.
#include "unswift/ops/cpu/attention_kernel.h"
#include "unswift/ops/cpu/exp-inl.h"
#include "unswift/ops/cpu/simd-inl.h"
#include "unswift/ops/cpu/softcap-inl.h"
// After their prerequisites:
#include "unswift/ops/cpu/attention_decode-inl.h"
#include "unswift/ops/cpu/attention_prefill-inl.h"
