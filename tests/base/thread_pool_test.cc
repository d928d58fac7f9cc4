#include "unswift/base/thread_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

namespace unswift {
namespace {

constexpr int64_t kCounts[] = {0, 1, 2, 3, 7, 8, 63, 64, 65, 1000, 4099};

class ThreadPoolTest : public testing::TestWithParam<int> {};

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, testing::Values(1, 2, 3, 4, 8));

TEST_P(ThreadPoolTest, RunOnAllCallsEachThreadOnce) {
  ThreadPool pool(GetParam());
  ASSERT_EQ(pool.num_threads(), GetParam());
  std::vector<std::atomic<int>> calls(GetParam());
  for (int round = 1; round <= 3; ++round) {
    pool.RunOnAll([&](int thread) { ++calls.at(thread); });
    for (const auto& count : calls) EXPECT_EQ(count, round);
  }
}

TEST_P(ThreadPoolTest, ParallelForCoversEveryIndexOnce) {
  ThreadPool pool(GetParam());
  for (int64_t count : kCounts) {
    for (int64_t grain : {1, 2, 5, 8, 64, 5000}) {
      std::vector<std::atomic<int>> visits(count);
      std::atomic<int> ranges{0};
      std::atomic<bool> aligned{true};
      pool.ParallelFor(count, grain, [&](int64_t begin, int64_t end) {
        ++ranges;
        if (begin % grain != 0 || begin >= end || end > count) aligned = false;
        for (int64_t i = begin; i < end; ++i) ++visits.at(i);
      });
      EXPECT_TRUE(aligned) << count << " " << grain;
      EXPECT_LE(ranges, GetParam());
      EXPECT_TRUE(std::all_of(visits.begin(), visits.end(), [](const auto& v) { return v == 1; }))
          << count << " " << grain;
    }
  }
}

TEST_P(ThreadPoolTest, ParallelForDynamicCoversEveryIndexOnce) {
  ThreadPool pool(GetParam());
  for (int64_t count : kCounts) {
    std::vector<std::atomic<int>> visits(count);
    std::atomic<bool> known_threads{true};
    pool.ParallelForDynamic(count, [&](int64_t i, int thread) {
      if (thread < 0 || thread >= GetParam()) known_threads = false;
      ++visits.at(i);
    });
    EXPECT_TRUE(known_threads);
    EXPECT_TRUE(std::all_of(visits.begin(), visits.end(), [](const auto& v) { return v == 1; }))
        << count;
  }
}

TEST_P(ThreadPoolTest, SplitIsTheSameAtEveryCall) {
  ThreadPool pool(GetParam());
  std::mutex mutex;
  const auto split = [&] {
    std::vector<std::pair<int64_t, int64_t>> ranges;
    pool.ParallelFor(1003, 4, [&](int64_t begin, int64_t end) {
      const std::lock_guard lock(mutex);
      ranges.emplace_back(begin, end);
    });
    std::sort(ranges.begin(), ranges.end());
    return ranges;
  };
  const auto first = split();
  EXPECT_EQ(first.size(), static_cast<size_t>(GetParam()));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(split(), first);
}

// Plain (not atomic) writes: each loop must see what the one before wrote, on any thread.
TEST(ThreadPool, TenThousandLoopsInARow) {
  ThreadPool pool(3);
  std::vector<int64_t> values(97);
  constexpr int kLoops = 10'000;
  for (int loop = 0; loop < kLoops; ++loop) {
    if (loop % 2 == 0) {
      pool.ParallelFor(values.size(), 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) values[i] += i + loop;
      });
    } else {
      pool.ParallelForDynamic(values.size(), [&](int64_t i, int) { values[i] += i + loop; });
    }
  }
  constexpr int64_t kSumOfLoops = int64_t{kLoops} * (kLoops - 1) / 2;
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(values[i], static_cast<int64_t>(i) * kLoops + kSumOfLoops) << i;
  }
}

TEST(ThreadPool, FewerThanOneThreadIsOne) {
  EXPECT_EQ(ThreadPool(0).num_threads(), 1);
  EXPECT_EQ(ThreadPool(-3).num_threads(), 1);
}

TEST(ThreadPool, StartsAndStopsWithoutWork) {
  for (int i = 0; i < 200; ++i) ThreadPool pool(4);
}

TEST(ThreadPoolDeathTest, NestedLoopsAreABrokenInvariant) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        ThreadPool pool(2);
        pool.RunOnAll([&](int) { pool.RunOnAll([](int) {}); });
      },
      "broken invariant");
}

TEST(NumPhysicalCores, IsBetweenOneAndTheLogicalOnes) {
  EXPECT_GE(NumPhysicalCores(), 1);
  EXPECT_LE(NumPhysicalCores(), static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace
}  // namespace unswift
