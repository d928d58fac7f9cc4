// The arithmetic of measurements; no test here depends on how long anything takes.
#include "unswift/eval/speed.h"

#include <gtest/gtest.h>

#include "tests/testing/opened_model.h"

namespace unswift {
namespace {

TEST(SpreadOf, MedianMinMax) {
  const Spread odd = SpreadOf({3.0, 1.0, 2.0});
  EXPECT_EQ(odd.median, 2.0);
  EXPECT_EQ(odd.min, 1.0);
  EXPECT_EQ(odd.max, 3.0);
  EXPECT_EQ(SpreadOf({4.0, 1.0}).median, 2.5);
}

TEST(MeasureSpeed, ReportsBytesAndRatios) {
  TinyRun a(MakeTinyLlama(1, true)), b(MakeTinyLlama(1, false));
  SpeedOptions options;
  options.prompt_tokens = 8;
  options.new_tokens = 4;
  options.repetitions = 3;
  options.measure_bandwidth = false;
  Decoder* const decoders[] = {a.decoder.get(), b.decoder.get()};
  const auto result = MeasureSpeed(decoders, options);
  ASSERT_TRUE(result.has_value()) << result.error().message;
  ASSERT_EQ(result->models.size(), 2u);
  EXPECT_EQ(result->models[1].weight_bytes_per_token, b.model->weight_bytes_per_token());
  EXPECT_EQ(result->decode_slowdown[0], 1.0);
  EXPECT_GT(result->decode_slowdown[1], 0.0);
  const Spread& decode = result->models[0].decode_tokens_per_second;
  EXPECT_LE(decode.min, decode.median);
  EXPECT_LE(decode.median, decode.max);
  const Spread& attention = result->models[0].prefill_attention_share;
  EXPECT_GT(attention.min, 0.0);
  EXPECT_LT(attention.max, 1.0);
}

TEST(MeasureSpeed, RefusesWhatDoesNotFitTheContext) {
  TinyRun a(MakeTinyLlama(1, true));
  SpeedOptions options;
  options.prompt_tokens = 64;
  options.measure_bandwidth = false;
  Decoder* const decoders[] = {a.decoder.get()};
  EXPECT_FALSE(MeasureSpeed(decoders, options).has_value());
}

}  // namespace
}  // namespace unswift
