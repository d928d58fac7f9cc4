#include "unswift/model/statistics_file.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/testing/test_data.h"
#include "unswift/base/random.h"

namespace unswift {
namespace {

ModelStatistics MakeStatistics(int64_t layers, int64_t units) {
  Random random(3);
  ModelStatistics statistics;
  statistics.num_tokens = 77;
  for (int64_t l = 0; l < layers; ++l) {
    LayerStatistics layer;
    layer.num_units = units;
    layer.num_tokens = 77;
    for (int64_t j = 0; j < units; ++j) {
      const float low = static_cast<float>(-1.0 - random.NextUniform());
      layer.min.push_back(low);
      layer.max.push_back(-low);
      layer.mean.push_back(0.1);
      layer.std.push_back(0.5);
      layer.mean_u2.push_back(random.NextUniform());
      layer.bin_begin.push_back(1.2 * low);
      layer.bin_end.push_back(-1.2 * low);
      for (int b = 0; b < kHistogramBins; ++b) {
        layer.histogram.push_back(static_cast<float>(random.NextUniform()));
      }
    }
    statistics.layers.push_back(std::move(layer));
  }
  return statistics;
}

TEST(StatisticsFile, RoundTrip) {
  const TempDir directory;
  const ModelStatistics written = MakeStatistics(3, 5);
  ASSERT_TRUE(WriteStatistics(written, directory / "s.safetensors", false).has_value());
  const auto read = ReadStatistics(directory / "s.safetensors");
  ASSERT_TRUE(read.has_value()) << read.error().message;
  EXPECT_EQ(read->num_tokens, 77);
  ASSERT_EQ(read->layers.size(), 3u);
  for (size_t l = 0; l < 3; ++l) {
    EXPECT_EQ(read->layers[l].min, written.layers[l].min);
    EXPECT_EQ(read->layers[l].mean_u2, written.layers[l].mean_u2);
    EXPECT_EQ(read->layers[l].bin_end, written.layers[l].bin_end);
    EXPECT_EQ(read->layers[l].histogram, written.layers[l].histogram);
  }
}

TEST(StatisticsFile, ExistingFileNeedsReplace) {
  const TempDir directory;
  WriteTextFile(directory / "s", "mine");
  EXPECT_EQ(WriteStatistics(MakeStatistics(1, 1), directory / "s", false).error().code,
            ErrorCode::kAlreadyExists);
  EXPECT_EQ(ReadTextFile(directory / "s"), "mine");
  EXPECT_TRUE(WriteStatistics(MakeStatistics(1, 1), directory / "s", true).has_value());
  EXPECT_TRUE(ReadStatistics(directory / "s").has_value());
}

TEST(StatisticsFile, RefusesWhatIsNotStatistics) {
  const TempDir directory;
  EXPECT_EQ(ReadStatistics(directory / "no").error().code, ErrorCode::kNotFound);
  ModelStatistics bad = MakeStatistics(2, 4);
  bad.layers[1].histogram[300] = std::numeric_limits<float>::quiet_NaN();
  ASSERT_TRUE(WriteStatistics(bad, directory / "nan", false).has_value());
  const auto read = ReadStatistics(directory / "nan");
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code, ErrorCode::kInvalidData);
  EXPECT_NE(read.error().message.find("layer 1"), std::string::npos) << read.error().message;
}

}  // namespace
}  // namespace unswift
