#include "unswift/runtime/calibration.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "tests/testing/opened_model.h"

namespace unswift {
namespace {

CalibrationOptions SmallOptions() {
  CalibrationOptions options;
  options.max_tokens = 300;
  options.window = 30;
  return options;
}

TEST(CutWindows, CutsAndLimits) {
  std::vector<int32_t> ids(100);
  CalibrationOptions options;
  options.window = 30;
  EXPECT_EQ(CutWindows(ids, options).size(), 4u);
  options.max_tokens = 60;
  EXPECT_EQ(CutWindows(ids, options).size(), 2u);
  EXPECT_TRUE(CutWindows({}, options).empty());
}

TEST(WriteOwnText, StartsWithBosAndEndOfText) {
  TinyRun run(MakeTinyLlama(1, false));
  const Tokenizer tokenizer = Tokenizer::Open(run.directory.path()).value();
  const auto windows = WriteOwnText(*run.decoder, tokenizer, SmallOptions(), {});
  ASSERT_TRUE(windows.has_value());
  ASSERT_EQ(windows->size(), 10u);
  for (size_t i = 0; i < 10; ++i) {
    EXPECT_EQ((*windows)[i].size(), 30u);
    EXPECT_EQ((*windows)[i][0], i < 5 ? 1 : 2);  // bos_token_id 1, eos_token_id 2
  }
  EXPECT_NE((*windows)[0], (*windows)[1]);
}

TEST(WriteOwnText, AModelWithoutSpecialTokensStartsAnywhere) {
  TinyRun run(MakeTinyGpt2(1));
  const Tokenizer tokenizer = Tokenizer::Open(run.directory.path()).value();
  const auto windows = WriteOwnText(*run.decoder, tokenizer, SmallOptions(), {});
  ASSERT_TRUE(windows.has_value());
  std::set<int32_t> starts;
  for (const auto& window : *windows) starts.insert(window[0]);
  EXPECT_GT(starts.size(), 1u);
}

TEST(Calibrate, SameBitsForAnyNumberOfThreads) {
  std::vector<ModelStatistics> results;
  for (int threads : {1, 2, 3}) {
    TinyRun run(MakeTinyLlama(1, true, true), threads);
    const Tokenizer tokenizer = Tokenizer::Open(run.directory.path()).value();
    const auto windows = WriteOwnText(*run.decoder, tokenizer, SmallOptions(), {}).value();
    results.push_back(Calibrate(*run.decoder, windows, SmallOptions(), {}).value());
  }
  for (size_t i : {1u, 2u}) {
    for (size_t l = 0; l < 2; ++l) {
      EXPECT_EQ(results[0].layers[l].histogram, results[i].layers[l].histogram);
      EXPECT_EQ(results[0].layers[l].mean, results[i].layers[l].mean);
    }
  }
}

/// Sees layer 0's rows, to recompute its statistics by hand.
class Rows0 final : public MlpObserver {
 public:
  void OnMlp(int64_t layer, ConstRows z, ConstRows u, ConstRows residual) override {
    if (layer != 0) return;
    for (int64_t r = 0; r < z.rows; ++r) {
      double norm = 0.0;
      for (float value : residual.row(r)) norm += static_cast<double>(value) * value;
      z_of_unit3.push_back(z.row(r)[3]);
      weight_of_unit3.push_back(static_cast<double>(u.row(r)[3]) * u.row(r)[3] / norm);
    }
  }
  std::vector<double> z_of_unit3, weight_of_unit3;
};

TEST(Calibrate, WeighsTokensByUAndTheResidual) {
  TinyRun run(MakeTinyLlama(1, true));
  const TokenWindows windows = {{1, 2, 3, 4, 5, 6, 7}, {8, 9, 10, 0}};
  const auto statistics = Calibrate(*run.decoder, windows, SmallOptions(), {}).value();
  Rows0 rows;
  for (const auto& window : windows) {
    const auto cache = run.decoder->MakeCache();
    const SequenceInput input{cache.get(), window};
    ASSERT_TRUE(run.decoder->Forward({&input, 1}, &rows).has_value());
  }
  EXPECT_EQ(statistics.num_tokens, 11);
  double mass = 0.0, centre = 0.0, expected_mass = 0.0, expected_centre = 0.0;
  const LayerStatistics& layer = statistics.layers[0];
  const double width = (layer.bin_end[3] - layer.bin_begin[3]) / kHistogramBins;
  for (int b = 0; b < kHistogramBins; ++b) {
    const double weight = layer.unit_histogram(3)[b];
    mass += weight;
    centre += weight * (layer.bin_begin[3] + (b + 0.5) * width);
  }
  for (size_t i = 0; i < rows.z_of_unit3.size(); ++i) {
    expected_mass += rows.weight_of_unit3[i];
    expected_centre += rows.weight_of_unit3[i] * rows.z_of_unit3[i];
  }
  EXPECT_NEAR(mass, expected_mass, 1e-5 * expected_mass);
  EXPECT_NEAR(centre / mass, expected_centre / expected_mass, 0.5 * width + 1e-6);
}

TEST(Calibrate, NothingToReadIsAnError) {
  TinyRun run(MakeTinyLlama(1, true));
  EXPECT_FALSE(Calibrate(*run.decoder, {}, SmallOptions(), {}).has_value());
}

}  // namespace
}  // namespace unswift
