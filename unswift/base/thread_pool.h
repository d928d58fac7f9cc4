// A fixed set of threads that run short parallel loops with low latency (a decode step has
// hundreds).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace unswift {

/// Runs loops over [0, count). The calling thread takes part, so a pool of one thread starts none.
/// One loop at a time: calls from several threads at once, or nested calls, are a broken invariant.
class ThreadPool {
 public:
  /// num_threads < 1 is taken as 1.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return num_threads_; }

  /// Calls fn(thread) once on every thread, thread in [0, num_threads).
  template <typename Fn>
  void RunOnAll(const Fn& fn) {
    Run([](const void* context, int thread) { (*static_cast<const Fn*>(context))(thread); }, &fn);
  }

  /// Splits [0, count) into at most num_threads contiguous ranges whose starts are multiples of
  /// `grain`, and calls fn(begin, end) for each. The split depends on count, grain and the thread
  /// count only, so a thread meets the same rows at every call (its caches stay warm).
  template <typename Fn>
  void ParallelFor(int64_t count, int64_t grain, const Fn& fn) {
    ParallelForEach(
        1, [&](int64_t) { return count; }, grain,
        [&](int64_t, int64_t begin, int64_t end) { fn(begin, end); });
  }

  /// Loops 0 ... num_loops - 1 at once, over [0, count_of(loop)) each, split as above:
  /// fn(loop, begin, end). Threads wait for each other once, not after each.
  template <typename Count, typename Fn>
  void ParallelForEach(int64_t num_loops, const Count& count_of, int64_t grain, const Fn& fn) {
    const auto units_of = [&](int64_t loop) {
      const int64_t count = count_of(loop);
      return count <= 0 ? 0 : (count + grain - 1) / grain;
    };
    int64_t units = 0;
    for (int64_t loop = 0; loop < num_loops; ++loop) units += units_of(loop);
    if (units == 0) return;
    const auto run_part = [&](int64_t part, int64_t parts) {
      for (int64_t loop = 0; loop < num_loops; ++loop) {
        const int64_t count = count_of(loop);
        const int64_t begin = units_of(loop) * part / parts * grain;
        const int64_t end = units_of(loop) * (part + 1) / parts * grain;
        if (begin < end) fn(loop, begin, end < count ? end : count);
      }
    };
    if (num_threads_ == 1 || units == 1) return run_part(0, 1);
    RunOnAll([&](int thread) { run_part(thread, num_threads_); });
  }

  /// Calls fn(index, thread) for every index in [0, count); threads take indices as they get free.
  /// For uneven or long items. Results must not depend on which thread ran an item.
  template <typename Fn>
  void ParallelForDynamic(int64_t count, const Fn& fn) {
    if (num_threads_ == 1 || count <= 1) {
      for (int64_t i = 0; i < count; ++i) fn(i, 0);
      return;
    }
    std::atomic<int64_t> next{0};
    RunOnAll([&](int thread) {
      for (int64_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) fn(i, thread);
    });
  }

 private:
  using Body = void (*)(const void* context, int thread);
  void Run(Body body, const void* context);
  void WorkerLoop(int thread);

  int num_threads_;
  std::vector<std::thread> workers_;
  Body body_ = nullptr;
  const void* context_ = nullptr;
  std::atomic<bool> stop_{false};
  std::atomic<bool> busy_{false};
  alignas(64) std::atomic<uint32_t> epoch_{0};
  alignas(64) std::atomic<int> pending_{0};
};

/// Physical cores of this machine that the process may run on, at least 1.
int NumPhysicalCores();

}  // namespace unswift
